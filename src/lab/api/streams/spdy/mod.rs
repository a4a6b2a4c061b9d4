//! SPDY/3.1, as far as Kubernetes uses it: many streams over one connection
//! that was an HTTP request before.
//!
//! kubectl of any age speaks it for exec, attach and port-forward, older ones
//! as an upgrade of their own, newer ones inside a WebSocket. The client begins
//! every stream; the server answers on it. There is no flow control by stream:
//! Kubernetes' own implementation has none, and a server that waited for a
//! window would wait for ever. A stream that is not read holds up the others of
//! its connection, as it does on a real cluster, and nobody else's.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

mod frames;
mod headers;

pub use frames::{Control, Frame};
pub use headers::Headers;

use frames::{Decoder, Encoder, HEAD, Head};

/// The most streams of one connection at a time.
const STREAMS: usize = 1024;
/// The most data in one frame that is sent, and in one piece that is passed on.
const CHUNK: usize = 32 * 1024;
/// How many pieces wait on their way to a stream's reader, and to the client.
const QUEUE: usize = 16;
/// How long the client may take to close after the last word.
const FAREWELL: Duration = Duration::from_secs(5);
/// When nothing else is written for so long, a ping is: a connection that is
/// not being read, because a stream's reader is slow, shows its end only so.
const QUIET: Duration = Duration::from_secs(5);

/// Why a stream is ended at once.
const PROTOCOL_ERROR: u32 = 1;
const INVALID_STREAM: u32 = 2;
const REFUSED_STREAM: u32 = 3;

/// Bytes that are not SPDY; the connection cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// A stream that the client has begun.
#[derive(Debug)]
pub struct Stream {
    /// Its number.
    pub id: u32,
    /// What the client says it is for.
    pub headers: Headers,
    /// What the client sends on it.
    pub input: mpsc::Receiver<Bytes>,
    /// What is sent to the client on it.
    pub output: Output,
}

/// The server's side of a stream.
#[derive(Debug)]
pub struct Output {
    id: u32,
    frames: mpsc::Sender<Frame>,
}

impl Output {
    /// Sends bytes, waiting while the client is slow; none when it is gone.
    pub async fn send(&self, bytes: &[u8]) -> Option<()> {
        for chunk in bytes.chunks(CHUNK) {
            self.data(Bytes::copy_from_slice(chunk), false).await?;
        }
        Some(())
    }

    /// Says that nothing more will come.
    pub async fn finish(self) {
        // A client that is gone need not know.
        let _ = self.data(Bytes::new(), true).await;
    }

    /// Ends the stream at once, in both directions.
    pub async fn refuse(self) {
        let reset = Control::Reset {
            stream: self.id,
            status: PROTOCOL_ERROR,
        };
        let _ = self.frames.send(Frame::Control(reset)).await;
    }

    async fn data(&self, bytes: Bytes, fin: bool) -> Option<()> {
        let stream = self.id;
        let frame = Frame::Data { stream, fin, bytes };
        self.frames.send(frame).await.ok()
    }
}

/// The streams that the client begins, as it begins them.
#[derive(Debug)]
pub struct Streams {
    begun: mpsc::Receiver<Stream>,
    /// The writer says goodbye when the last of these is gone.
    _frames: mpsc::Sender<Frame>,
}

impl Streams {
    /// The next one; none when the client has gone.
    pub async fn next(&mut self) -> Option<Stream> {
        self.begun.recv().await
    }
}

/// Serves a connection until `work` has done what it does with the client's
/// streams, or the client has gone: then the work is dropped.
pub async fn serve<C, W>(connection: C, work: impl FnOnce(Streams) -> W)
where
    C: AsyncRead + AsyncWrite,
    W: Future<Output = ()>,
{
    let (from_client, to_client) = tokio::io::split(connection);
    let (frames, queue) = mpsc::channel(QUEUE);
    let (begin, begun) = mpsc::channel(QUEUE);
    let reader = Reader {
        from_client,
        decoder: Decoder::new(),
        open: HashMap::new(),
        last: 0,
        begin,
        frames: frames.downgrade(),
    };
    let work = work(Streams {
        begun,
        _frames: frames,
    });
    let mut reading = std::pin::pin!(reader.run());
    let served = async {
        let work = async {
            work.await;
            Ok(())
        };
        tokio::try_join!(work, write(to_client, queue)).map(|_| ())
    };
    tokio::select! {
        ended = &mut reading => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a SPDY connection broke");
            }
        }
        served = served => match served {
            // What the client has still to say is not heard, but it is waited
            // for: closing first could cost it the last bytes.
            Ok(()) => drop(tokio::time::timeout(FAREWELL, reading).await),
            Err(error) => tracing::debug!(%error, "a SPDY client does not read"),
        },
    }
}

/// Writes frames until nobody has any more, then says goodbye.
async fn write(
    mut to_client: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Frame>,
) -> io::Result<()> {
    let mut encoder = Encoder::new().map_err(io::Error::other)?;
    let mut out = BytesMut::new();
    let mut last = 0;
    loop {
        let frame = match tokio::time::timeout(QUIET, queue.recv()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            // Ours are even.
            Err(_) => Frame::Control(Control::Ping(2)),
        };
        if let Frame::Control(Control::SynReply { stream, .. }) = &frame {
            last = last.max(*stream);
        }
        encoder.encode(&frame, &mut out).map_err(io::Error::other)?;
        // What waits goes out together.
        if queue.is_empty() || out.len() > CHUNK {
            to_client.write_all(&out.split()).await?;
            to_client.flush().await?;
        }
    }
    let goodbye = Control::GoAway { last, status: 0 };
    encoder
        .encode(&Frame::Control(goodbye), &mut out)
        .map_err(io::Error::other)?;
    to_client.write_all(&out).await?;
    to_client.shutdown().await
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

struct Reader<R> {
    from_client: R,
    decoder: Decoder,
    /// Streams on which the client may still send.
    open: HashMap<u32, mpsc::Sender<Bytes>>,
    /// The newest stream's number.
    last: u32,
    begin: mpsc::Sender<Stream>,
    /// Weak, so that the work alone decides when all has been said.
    frames: mpsc::WeakSender<Frame>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads frames until the client closes.
    async fn run(mut self) -> Result<(), Broken> {
        loop {
            let mut head = [0; HEAD];
            match self.from_client.read_exact(&mut head).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            };
            match Head::parse(&head)? {
                Head::Data {
                    stream,
                    fin,
                    length,
                } => self.data(stream, fin, length).await?,
                Head::Control { kind, fin, length } => {
                    let mut body = vec![0; length];
                    self.from_client.read_exact(&mut body).await?;
                    let control = self.decoder.control(kind, fin, &body)?;
                    self.control(control).await?;
                }
            }
        }
    }

    async fn data(&mut self, stream: u32, fin: bool, mut length: usize) -> Result<(), Broken> {
        if !self.open.contains_key(&stream) {
            let status = INVALID_STREAM;
            self.tell(Control::Reset { stream, status }).await;
        }
        while length > 0 {
            let mut bytes = BytesMut::zeroed(length.min(CHUNK));
            self.from_client.read_exact(&mut bytes).await?;
            length -= bytes.len();
            if let Some(reader) = self.open.get(&stream) {
                // Nobody reads what is still on its way to a stream that is done.
                let _ = reader.send(bytes.freeze()).await;
            }
        }
        if fin {
            self.open.remove(&stream);
        }
        Ok(())
    }

    async fn control(&mut self, control: Control) -> Result<(), Malformed> {
        match control {
            Control::SynStream {
                stream,
                fin,
                headers,
            } => return self.begin(stream, fin, headers).await,
            Control::Reset { stream, .. }
            | Control::Headers {
                stream, fin: true, ..
            } => drop(self.open.remove(&stream)),
            // Odd ones are the client's questions; even ones would answer ours.
            Control::Ping(id) if id % 2 == 1 => self.tell(Control::Ping(id)).await,
            Control::Ping(_)
            | Control::GoAway { .. }
            | Control::Headers { .. }
            | Control::SynReply { .. }
            | Control::Ignored => {}
        }
        Ok(())
    }

    async fn begin(&mut self, id: u32, fin: bool, headers: Headers) -> Result<(), Malformed> {
        if id.is_multiple_of(2) || id <= self.last {
            return Err(Malformed("a stream whose number is not the client's next"));
        }
        self.last = id;
        let refused = Control::Reset {
            stream: id,
            status: REFUSED_STREAM,
        };
        self.open.retain(|_, reader| !reader.is_closed());
        let Some(frames) = self.frames.upgrade() else {
            return Ok(());
        };
        if self.open.len() >= STREAMS || self.begin.is_closed() {
            self.tell(refused).await;
            return Ok(());
        }
        let (reader, input) = mpsc::channel(QUEUE);
        if !fin {
            self.open.insert(id, reader);
        }
        self.tell(Control::SynReply {
            stream: id,
            fin: false,
            headers: Headers::default(),
        })
        .await;
        let stream = Stream {
            id,
            headers,
            input,
            output: Output { id, frames },
        };
        // Whoever takes no more has all that it needs.
        let _ = self.begin.send(stream).await;
        Ok(())
    }

    async fn tell(&mut self, control: Control) {
        if let Some(frames) = self.frames.upgrade() {
            let _ = frames.send(Frame::Control(control)).await;
        }
    }
}

#[cfg(test)]
mod tests;
