//! Hand-written futures that poll other futures, and beside them a socket or a channel of their own.

use super::sockets::{fill, on, quiet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, Sleep, sleep_until};
use truth::resources::{Wait, keep, start};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads, until its patience ends.
struct Patient<R> {
    reader: R,
    patience: Pin<Box<Sleep>>,
}

impl<R: AsyncRead + Unpin> Future for Patient<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (mut bytes, this) = ([0; 16], &mut *self);
        let mut buffer = ReadBuf::new(&mut bytes);
        if Pin::new(&mut this.reader).poll_read(context, &mut buffer).is_ready() {
            return Poll::Ready(());
        }
        this.patience.as_mut().poll(context)
    }
}

/// As a server does with a request in flight: its connection is looked at while the answer is made.
struct Serving<S> {
    connection: Option<Arc<std::sync::Mutex<S>>>,
    answer: Boxed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Serving<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(connection) = &self.connection {
            let mut connection = connection.lock().expect("nobody else has it");
            let mut bytes = [0; 16];
            let read = Pin::new(&mut *connection).poll_read(context, &mut ReadBuf::new(&mut bytes));
            let written = Pin::new(&mut *connection).poll_write(context, b"more");
            if read.is_ready() || written.is_ready() {
                return Poll::Ready(());
            }
        }
        self.answer.as_mut().poll(context)
    }
}

/// It keeps a connection for later, and looks at one of its two channels.
struct Errands<S> {
    _later: S,
    first: mpsc::Receiver<u64>,
    _second: mpsc::UnboundedReceiver<u64>,
    work: Boxed,
}

impl<S: Unpin> Future for Errands<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.first.poll_recv(context).is_ready() {
            return Poll::Ready(());
        }
        ready!(self.work.as_mut().poll(context));
        Poll::Ready(())
    }
}

pub async fn start_all() {
    let lock = Arc::new(Mutex::new(0_u64));
    keep(lock.clone().lock_owned().await);
    let hour = Instant::now() + Duration::from_secs(3600);
    let stream = quiet().await;
    start("by hand: a socket and a timer", |case| async move {
        case.waits(on(&stream, "reads").or()).waits(Wait::of("timer").until(hour.into_std()).or());
        let patient = Patient { reader: stream, patience: Box::pin(sleep_until(hour)) };
        case.stands();
        patient.await;
    });
    let stream = quiet().await;
    start("by hand: a boxed dyn socket and a timer, in a box", |case| async move {
        case.waits(on(&stream, "reads").or()).waits(Wait::of("timer").until(hour.into_std()).or());
        let reader: Box<dyn AsyncRead + Unpin + Send> = Box::new(tokio::io::BufReader::new(stream));
        let patient: Boxed = Box::pin(Patient { reader, patience: Box::pin(sleep_until(hour)) });
        case.stands();
        patient.await;
    });
    let stream = quiet().await;
    fill(&stream).await;
    let same = lock.clone();
    start("by hand: a shared socket, both ways, and an async block", |case| async move {
        case.waits(on(&stream, "reads or writes").or()).waits(Wait::of("mutex").at(&*same).or());
        let connection = Some(Arc::new(std::sync::Mutex::new(stream)));
        let answer = async move {
            case.stands();
            let _ = same.lock().await;
        };
        Serving { connection, answer: Box::pin(answer) }.await;
    });
    let stream = quiet().await;
    let (one, first) = mpsc::channel(1);
    let (two, second) = mpsc::unbounded_channel();
    keep((one, two));
    start("by hand: a channel, and what it does not poll", |case| async move {
        case.waits(Wait::of("mpsc").channel("errands").or()).waits(Wait::of("mutex").at(&*lock).or());
        let work = async move {
            case.stands();
            let _ = lock.lock().await;
        };
        Errands { _later: stream, first, _second: second, work: Box::pin(work) }.await;
    });
}
