//! A poll that takes long, in words.

use super::escape::escape;
use super::names;
use super::places::Places;
use super::units::count;
use super::units::span;
use crate::decode::CodeFrame;
use crate::trace::{CpuSamples, Doing, LongPoll};

/// `blocked in clock_nanosleep: std::thread::sleep ← app::handler src/x.rs:12`, or what the thread does else.
pub fn words(poll: &LongPoll, places: &Places) -> String {
    match poll.doing {
        Doing::Running => format!("in a poll, {}", computing(&poll.cpu, places).unwrap_or("running".into())),
        Doing::Ready => {
            let before = computing(&poll.cpu, places).map(|computing| format!("; before {computing}"));
            format!("in a poll, waiting for a CPU{}", before.unwrap_or_default())
        }
        Doing::Asleep => {
            let call = poll.system_call.as_ref().map(|call| format!(" in {}", escape(call)));
            let from = called_from(&poll.stack, places).map(|from| format!(": {from}"));
            format!("blocked{}{}", call.unwrap_or_default(), from.unwrap_or_default())
        }
    }
}

/// The same with how long the poll had taken at `t_ns`.
pub fn words_at(poll: &LongPoll, t_ns: u64, places: &Places) -> String {
    format!("{}, after {}", words(poll, places), span(t_ns.saturating_sub(poll.since_ns)))
}

/// `computing at src/x.rs:12 (serde_json::to_vec), 7 of 9 samples`: where it was most often of the times that it was looked at. None
/// where it was not.
pub fn computing(cpu: &CpuSamples, places: &Places) -> Option<String> {
    let unknown = if cpu.unknown == 0 { String::new() } else { format!(", {} unknown", count(cpu.unknown)) };
    let Some(most) = cpu.most() else {
        return (!cpu.is_empty()).then(|| format!("running ({} samples{unknown})", count(cpu.count)));
    };
    let function = most.function().map(|function| names::short(function)).unwrap_or_default();
    let at = match most.own().and_then(|own| own.line.as_ref()) {
        Some(line) => format!("at {} ({function})", places.show(line)),
        None => format!("in {function}"),
    };
    Some(format!("computing {at}, {} of {} samples{unknown}", count(most.count), count(cpu.count)))
}

/// The innermost of the user's own functions, and what that called. Without one, the innermost function that has a name.
fn called_from(stack: &[CodeFrame], places: &Places) -> Option<String> {
    let named = |frame: &CodeFrame| frame.function.as_ref().map(|function| names::short(function));
    let Some(own) = stack.iter().position(|frame| frame.own_code && frame.line.is_some()) else {
        return stack.iter().find_map(named);
    };
    let place = stack[own].line.as_ref().map(|line| places.show(line));
    let own_words: Vec<String> = named(&stack[own]).into_iter().chain(place).collect();
    let called = stack[..own].iter().rev().find_map(named).map(|called| format!("{called} ← "));
    Some(called.unwrap_or_default() + &own_words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::SourceLine;

    fn frame(function: &str, own: Option<u32>) -> CodeFrame {
        let line = own.map(|line| SourceLine { file: "/srv/shop/src/api.rs".into(), line });
        CodeFrame { function: Some(function.into()), line, inlined: false, own_code: own.is_some() }
    }

    #[test]
    fn the_innermost_own_function_and_what_it_called() {
        let mut poll = LongPoll {
            since_ns: 5,
            doing: Doing::Asleep,
            off_cpu: None,
            system_call: Some("clock_nanosleep".into()),
            stack: Box::new([
                frame("clock_nanosleep", None),
                frame("std::thread::sleep", None),
                frame("shop::api::fetch", Some(12)),
                frame("shop::main", Some(3)),
            ]),
            cpu: CpuSamples::default(),
        };
        let places = Places::default();
        let expected =
            "blocked in clock_nanosleep: std::thread::sleep ← shop::api::fetch /srv/shop/src/api.rs:12";
        assert_eq!(words(&poll, &places), expected);
        assert_eq!(words_at(&poll, 12_000_005, &places), format!("{expected}, after 12 ms"));
        poll.stack = Box::new([frame("read", None)]);
        poll.system_call = None;
        assert_eq!(words(&poll, &places), "blocked: read");
        poll.stack = Box::default();
        poll.doing = Doing::Running;
        assert_eq!(words(&poll, &places), "in a poll, running");
        poll.cpu = crate::model::sample_cpu(9, 2);
        let computing =
            "computing at /srv/shop/src/api.rs:157 (serde_json::to_vec), 7 of 9 samples, 2 unknown";
        assert_eq!(words(&poll, &places), format!("in a poll, {computing}"));
        poll.doing = Doing::Ready;
        assert_eq!(words(&poll, &places), format!("in a poll, waiting for a CPU; before {computing}"));
        poll.doing = Doing::Running;
        poll.cpu = CpuSamples::default();
        poll.cpu.add_unknown(3);
        assert_eq!(words(&poll, &places), "in a poll, running (3 samples, 3 unknown)");
    }
}
