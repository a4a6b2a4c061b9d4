//! What the HTTP library refuses by itself, in words.
//!
//! A request whose head is too long never becomes a request: the library answers
//! with a bare status line and closes. Here that answer gets a `Status`, and what
//! the client still has to say is listened to for a moment, because many a client
//! reads only when it has said everything.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::status::ApiError;

/// What the library's own answer begins with.
const BARE: &[u8] = b"HTTP/1.1 431 ";

/// How long, and how much, a refused client is listened to.
const HEARD_OUT: (Duration, usize) = (Duration::from_secs(1), 16 * 1024 * 1024);

/// A connection on which refusals have words.
#[derive(Debug)]
pub struct Refusals<T> {
    inner: T,
    /// The longest head.
    limit: usize,
    /// The answer that stands in for the library's, and how much of it is sent.
    answer: Option<(Vec<u8>, usize)>,
    /// How much has been heard since then, and how long it is listened.
    heard: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<T> Refusals<T> {
    /// Wraps a connection on which heads may have `limit` bytes.
    pub fn new(inner: T, limit: usize) -> Self {
        Self {
            inner,
            limit,
            answer: None,
            heard: 0,
            timer: None,
        }
    }

    fn refuse(&mut self) {
        let error = ApiError::head_too_long(self.limit);
        let body = error.status().to_string();
        let answer = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            error.code,
            body.len()
        );
        self.answer = Some((answer.into_bytes(), 0));
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Refusals<T> {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((answer, sent)) = &mut self.answer
            && *sent < answer.len()
        {
            let written = Pin::new(&mut self.inner).poll_write(cx, &answer[*sent..]);
            *sent += ready!(written)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Listens to a client that was refused, until it ends or for long enough.
    fn poll_hear_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(HEARD_OUT.0)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut space = [0; 16 * 1024];
        while self.heard < HEARD_OUT.1 {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.heard += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Refusals<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Refusals<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.answer.is_some() {
            // The rest of the library's answer, if it has one.
            return Poll::Ready(Ok(buf.len()));
        }
        if buf.starts_with(BARE) {
            self.refuse();
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        if self.answer.is_some() {
            ready!(self.poll_hear_out(cx));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|it| !it.is_empty());
        if self.answer.is_some() || first.is_some_and(|it| it.starts_with(BARE)) {
            let all: Vec<u8> = bufs.iter().flat_map(|it| it.to_vec()).collect();
            return self.poll_write(cx, &all);
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_refusal_gets_words_and_the_client_is_heard_out() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Refusals::new(near, 1000);
        let served = async {
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n";
            near.write_all(bare).await.unwrap();
            near.shutdown().await.unwrap();
            drop(near);
        };
        let client = async {
            // More than fits into the pipe: only if it is read this goes on.
            let (mut read, mut write) = tokio::io::split(&mut far);
            let mut said = String::new();
            let (_, wrote) = tokio::join!(read.read_to_string(&mut said), async {
                let wrote = write.write_all(&[b'x'; 10_000]).await;
                write.shutdown().await.unwrap();
                wrote
            });
            wrote.unwrap();
            said
        };
        let ((), said) = tokio::join!(served, client);
        assert!(
            said.starts_with("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 431 "),
            "{said}"
        );
        assert!(said.contains("\"kind\":\"Status\""), "{said}");
        assert!(said.contains("limit is 1000"), "{said}");
    }
}
