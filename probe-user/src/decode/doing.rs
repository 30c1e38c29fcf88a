//! What a future does with its descriptor, told by names and by tokio's interest.

use crate::target::Doing;

/// tokio's bits of interest (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/io/interest.rs>).
pub(super) fn ready_for(interest: u64) -> Option<Doing> {
    match (interest & 1 != 0, interest & 2 != 0) {
        (true, true) => Some(Doing::ReadsOrWrites),
        (true, false) => Some(Doing::Reads),
        (false, true) => Some(Doing::Writes),
        (false, false) => None,
    }
}

/// The last name of a path that is not a block's, without generic arguments: `connect` of
/// `tokio::net::TcpStream<T>::connect<A>::{async_block#0}`.
pub(super) fn own_name(function: &str) -> &str {
    let mut depth = 0_i32;
    let mut end = function.len();
    let mut name = function;
    for (i, byte) in function.bytes().enumerate().rev() {
        match byte {
            b'>' if i > 0 && function.as_bytes()[i - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth += 1,
            b'<' | b'(' | b'[' | b'{' => {
                depth -= 1;
                if depth == 0 {
                    end = i;
                }
            }
            b':' if depth == 0 => {
                name = &function[i + 1..end.max(i + 1)];
                if !name.is_empty() {
                    return name;
                }
                end = i;
            }
            _ => {}
        }
    }
    if depth == 0 { &function[..end] } else { name }
}

/// What a future of this name does with its descriptor, as far as the name tells.
pub(super) fn doing(function: &str) -> Option<Doing> {
    let name = own_name(function).to_ascii_lowercase();
    let has = |what: &str| name.contains(what);
    match () {
        () if has("accept") => Some(Doing::Accepts),
        () if has("connect") && !has("connection") && !has("connected") => Some(Doing::Connects),
        () if has("write") || has("writable") || has("send") || has("flush") || has("shutdown") => {
            Some(Doing::Writes)
        }
        () if has("read") || has("recv") || has("peek") => Some(Doing::Reads),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_future_is_its_functions() {
        let named = [
            ("tokio::sync::mpsc::bounded::Sender<u64>::closed", "closed"),
            ("tokio::net::tcp::stream::TcpStream::connect<&str>::{async_block#0}", "connect"),
            ("<F as app::Handler<(A, B)>>::call::{async_block#0}", "call"),
            ("tokio::io::util::read::Read<tokio::net::tcp::stream::TcpStream>", "Read"),
            ("main", "main"),
        ];
        for (function, name) in named {
            assert_eq!(own_name(function), name, "{function}");
        }
        assert_eq!(doing("tokio::io::util::read_exact::ReadExact<app::Connector>"), Some(Doing::Reads));
        own_name(">>::<<");
        own_name("");
    }
}
