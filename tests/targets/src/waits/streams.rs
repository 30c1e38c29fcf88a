//! What else is read and written: Unix sockets, pipes, any file descriptor, and what is put around a stream.

use super::sockets::{fill, on, quiet};
use std::os::fd::{FromRawFd as _, OwnedFd};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::unix::pipe;
use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use truth::resources::{Wait, keep, start};

pub async fn start_all() {
    unix();
    pipes();
    start("AsyncFd::readable, an eventfd", |case| async move {
        // SAFETY: a system call with two numbers; what it returns is ours.
        let eventfd = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) };
        // Its successor is not in the older ones.
        #[allow(deprecated)]
        let eventfd = AsyncFd::new(eventfd).expect("an eventfd can be polled");
        case.waits(Wait::of("io").fd(&eventfd).words(&[&"reads"]));
        case.stands();
        let _ = eventfd.readable().await;
    });
    around().await;
}

fn unix() {
    let (mut ours, theirs) = UnixStream::pair().expect("two ends");
    keep(theirs);
    start("UnixStream::read", |case| async move {
        let mut buffer = [0; 16];
        case.waits(Wait::of("io").fd(&ours).words(&[&"reads", &"Unix"]));
        case.stands();
        let _ = ours.read(&mut buffer).await;
    });
    let (ours, theirs) = UnixDatagram::pair().expect("two ends");
    keep(theirs);
    start("UnixDatagram::recv", |case| async move {
        let mut buffer = [0; 16];
        case.waits(Wait::of("io").fd(&ours).words(&[&"reads", &"Unix"]));
        case.stands();
        let _ = ours.recv(&mut buffer).await;
    });
    let path = std::env::temp_dir().join(format!("waits-{}.socket", std::process::id()));
    let listener = UnixListener::bind(&path).expect("there is room in a directory of that kind");
    // The socket keeps its name.
    std::fs::remove_file(&path).expect("it was just made");
    start("UnixListener::accept", |case| async move {
        case.waits(Wait::of("io").fd(&listener).words(&[&"accepts", &"Unix", &path.display()]));
        case.stands();
        let _ = listener.accept().await;
    });
}

fn pipes() {
    let (writer, mut reader) = pipe::pipe().expect("a pipe");
    keep(writer);
    start("pipe::Receiver::read", |case| async move {
        let mut buffer = [0; 16];
        case.waits(Wait::of("io").fd(&reader).words(&[&"reads", &"pipe"]));
        case.stands();
        let _ = reader.read(&mut buffer).await;
    });
    let (mut writer, reader) = pipe::pipe().expect("a pipe");
    keep(reader);
    start("pipe::Sender::write, buffer full", |case| async move {
        // Before that nothing is known of it, and trying does not even try.
        let _ = writer.writable().await;
        while writer.try_write(&[0; 4096]).is_ok() {}
        case.waits(Wait::of("io").fd(&writer).words(&[&"writes", &"pipe"]));
        case.stands();
        let _ = writer.write(b"more").await;
    });
}

async fn around() {
    let stream = quiet().await;
    start("BufReader::lines", |case| async move {
        case.waits(on(&stream, "reads"));
        let mut lines = BufReader::new(stream).lines();
        case.stands();
        let _ = lines.next_line().await;
    });
    let stream = quiet().await;
    start("BufReader::read_line", |case| async move {
        let mut line = String::new();
        case.waits(on(&stream, "reads"));
        let mut reader = BufReader::new(stream);
        case.stands();
        let _ = reader.read_line(&mut line).await;
    });
    let stream = quiet().await;
    start("BufReader::read_to_end, boxed dyn", |case| async move {
        let mut bytes = Vec::new();
        case.waits(on(&stream, "reads"));
        let mut reader: Box<dyn tokio::io::AsyncRead + Unpin + Send> = Box::new(stream);
        case.stands();
        let _ = reader.read_to_end(&mut bytes).await;
    });
    let stream = quiet().await;
    start("BufWriter::flush, buffers full", |case| async move {
        fill(&stream).await;
        case.waits(on(&stream, "writes"));
        let mut writer = BufWriter::new(stream);
        writer.write_all(b"more").await.expect("it keeps that much");
        case.stands();
        let _ = writer.flush().await;
    });
    let (mut one, mut two) = (quiet().await, quiet().await);
    start("io::copy_bidirectional", |case| async move {
        case.waits(on(&one, "reads").or()).waits(on(&two, "reads").or());
        case.stands();
        let _ = tokio::io::copy_bidirectional(&mut one, &mut two).await;
    });
    let mut stream = quiet().await;
    start("io::copy", |case| async move {
        case.waits(on(&stream, "reads"));
        case.stands();
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
}
