//! The command line as people meet it: help, usage errors, exit codes.

#[test]
fn commands() {
    // Help wraps at the terminal's width, colour follows the environment: neither may vary here.
    trycmd::TestCases::new().env("NO_COLOR", "1").env("COLUMNS", "100").case("tests/cmd/*.trycmd");
}
