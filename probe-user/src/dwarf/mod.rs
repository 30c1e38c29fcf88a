//! Debug information → static model: types, coroutine layouts, suspend points, vtables. No I/O.
