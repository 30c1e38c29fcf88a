//! Which signal a task waits for: tokio has a watch channel for each in one table.

use super::Wait;
use super::walk::Walker;
use crate::runtime::{Look, Part, ResourceKind, Seen, Through};
use crate::target::{Avma, Memory};

/// `SIGRTMAX`, the last signal in the table.
const LAST: usize = 64;

/// What Linux calls those that have a name, from 1 on (signal(7), x86).
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// What all who wait for one signal share.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignalChannel {
    signal: usize,
    address: Avma,
    size: u64,
}

impl<M: Memory + ?Sized> Walker<'_, '_, '_, M> {
    /// The wait's address is that of a notify so far, one of several in the signal's channel.
    pub(super) fn awaits_signal(&mut self, wait: &mut Wait) {
        let channel = wait.address.and_then(|notify| self.signal_channel(notify));
        wait.detail = Some(match channel {
            Some(channel) => format!("waits for {}", name(channel.signal)).into(),
            None => "waits for a signal".into(),
        });
        wait.address = channel.map(|channel| channel.address).or(wait.address);
    }

    fn signal_channel(&mut self, notify: Avma) -> Option<SignalChannel> {
        if self.signals.is_none() {
            self.signals = Some(self.signal_channels());
        }
        let has = |channel: &&SignalChannel| {
            notify.0.checked_sub(channel.address.0).is_some_and(|offset| offset < channel.size)
        };
        self.signals.iter().flatten().find(has).copied()
    }

    /// The table has an entry for each signal, and in older versions (1.38, say) one for the number 0 that is none
    /// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/signal/unix.rs>).
    fn signal_channels(&self) -> Vec<SignalChannel> {
        let (program, reflect) = (self.recipes().program, self.reflect());
        let channels = program.signals().map(|(ty, address)| {
            let look = Look::new(&self.recipes().leads, &reflect, self.bias(), Through::Owned);
            let seen = look.see(address.to_avma(self.bias()), ty, "");
            let is_sender =
                |seen: &&Seen| seen.thing.part == Part::Sender && seen.thing.kind == ResourceKind::Watch;
            let senders: Vec<_> = seen.iter().filter(is_sender).collect();
            let Some(before) = senders.len().checked_sub(LAST).filter(|extra| *extra <= 1) else {
                return Vec::new();
            };
            let channel = |(nth, sender): (usize, &&Seen)| {
                let shared = reflect.shared(sender.at, sender.ty.die, sender.thing.shared)?;
                let size = program.ty(shared.ty?)?.size;
                Some(SignalChannel { signal: nth + 1 - before, address: shared.address, size })
            };
            senders.iter().enumerate().skip(before).filter_map(channel).collect()
        });
        channels.flatten().collect()
    }
}

fn name(signal: usize) -> String {
    match signal.checked_sub(1).and_then(|nth| NAMES.get(nth)) {
        Some(name) => (*name).to_owned(),
        None => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_of_linux() {
        let named = [
            (1, "SIGHUP"),
            (10, "SIGUSR1"),
            (15, "SIGTERM"),
            (17, "SIGCHLD"),
            (31, "SIGSYS"),
            (40, "signal 40"),
        ];
        for (signal, wanted) in named {
            assert_eq!(name(signal), wanted);
        }
    }
}
