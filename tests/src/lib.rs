//! End-to-end tests against real async programs.
