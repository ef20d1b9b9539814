//! The server side of a stdio connection: lines over this process's own stdin and stdout.
//!
//! The protocol takes private copies of both and points the originals elsewhere (stdin at nothing, stdout at stderr),
//! so that a stray print or a child process of a component cannot touch the wire.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::unix::pipe;

use super::lines;
use crate::link::Link;

/// Takes over stdin and stdout and makes a link of them. To be called once, before anything is printed.
///
/// # Errors
/// When the handles cannot be copied or replaced.
pub fn link(options: &lines::Options) -> io::Result<Link> {
    let (input, output) = take_over()?;
    Ok(lines::link(
        Input::from_fd(input)?,
        Output::from_fd(output)?,
        options,
    ))
}

fn take_over() -> io::Result<(OwnedFd, OwnedFd)> {
    // Copies made by `fcntl_dupfd_cloexec` do not reach child processes.
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let nothing = OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(nothing)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((input, output))
}

/// A pipe is read by readiness; a file or terminal by the blocking pool, which costs a task switch an operation.
enum Input {
    Pipe(pipe::Receiver),
    Other(tokio::fs::File),
}

enum Output {
    Pipe(pipe::Sender),
    Other(tokio::fs::File),
}

impl Input {
    fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let file = std::fs::File::from(fd);
        if is_pipe(&file)? {
            pipe::Receiver::from_file(file).map(Input::Pipe)
        } else {
            Ok(Input::Other(tokio::fs::File::from_std(file)))
        }
    }
}

impl Output {
    fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let file = std::fs::File::from(fd);
        if is_pipe(&file)? {
            pipe::Sender::from_file(file).map(Output::Pipe)
        } else {
            Ok(Output::Other(tokio::fs::File::from_std(file)))
        }
    }
}

fn is_pipe(file: &std::fs::File) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    Ok(file.metadata()?.file_type().is_fifo())
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Input::Pipe(pipe) => Pin::new(pipe).poll_read(context, buffer),
            Input::Other(file) => Pin::new(file).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Output::Pipe(pipe) => Pin::new(pipe).poll_write(context, bytes),
            Output::Other(file) => Pin::new(file).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Output::Pipe(pipe) => Pin::new(pipe).poll_flush(context),
            Output::Other(file) => Pin::new(file).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Output::Pipe(pipe) => Pin::new(pipe).poll_shutdown(context),
            Output::Other(file) => Pin::new(file).poll_shutdown(context),
        }
    }
}
