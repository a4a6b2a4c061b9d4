//! A connection seen from the client's side.

use super::*;
use tokio::io::DuplexStream;

/// A client of the real protocol, as small as it can be.
struct Client {
    connection: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
}

impl Client {
    /// A client of a server that does `work`.
    fn of<W>(work: impl FnOnce(Streams) -> W + Send + 'static) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (connection, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(theirs, work));
        Self {
            connection,
            encoder: Encoder::new().unwrap(),
            decoder: Decoder::new(),
        }
    }

    async fn send(&mut self, frame: Frame) {
        let mut wire = BytesMut::new();
        self.encoder.encode(&frame, &mut wire).unwrap();
        self.connection.write_all(&wire).await.unwrap();
    }

    async fn begin(&mut self, stream: u32, kind: &str) {
        let headers = Headers(vec![("streamtype".into(), kind.into())]);
        let fin = false;
        self.send(Frame::Control(Control::SynStream {
            stream,
            fin,
            headers,
        }))
        .await;
    }

    async fn data(&mut self, stream: u32, bytes: &'static [u8], fin: bool) {
        let bytes = Bytes::from_static(bytes);
        self.send(Frame::Data { stream, fin, bytes }).await;
    }

    /// The next frame; none when the server has closed.
    async fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; HEAD];
        self.connection.read_exact(&mut head).await.ok()?;
        let head = Head::parse(&head).unwrap();
        let (Head::Data { length, .. } | Head::Control { length, .. }) = head;
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).await.unwrap();
        Some(match head {
            Head::Data { stream, fin, .. } => {
                let bytes = body.into();
                Frame::Data { stream, fin, bytes }
            }
            Head::Control { kind, fin, .. } => {
                Frame::Control(self.decoder.control(kind, fin, &body).unwrap())
            }
        })
    }
}

fn reply(stream: u32) -> Frame {
    Frame::Control(Control::SynReply {
        stream,
        fin: false,
        headers: Headers::default(),
    })
}

fn goodbye(last: u32) -> Frame {
    Frame::Control(Control::GoAway { last, status: 0 })
}

/// Sends back what comes on the first stream, in capitals.
async fn shout(mut streams: Streams) {
    let mut stream = streams.next().await.unwrap();
    assert_eq!(stream.headers.get("streamtype"), Some("data"));
    while let Some(bytes) = stream.input.recv().await {
        stream.output.send(&bytes.to_ascii_uppercase()).await;
    }
    stream.output.finish().await;
}

#[tokio::test]
async fn a_stream_is_answered_and_the_connection_ends_in_order() {
    let mut client = Client::of(shout);
    client.begin(1, "data").await;
    assert_eq!(client.receive().await, Some(reply(1)));
    client.data(1, b"hello", true).await;
    let (stream, bytes) = (1, Bytes::from_static(b"HELLO"));
    let said = Frame::Data {
        stream,
        fin: false,
        bytes,
    };
    assert_eq!(client.receive().await, Some(said));
    let end = Frame::Data {
        stream,
        fin: true,
        bytes: Bytes::new(),
    };
    assert_eq!(client.receive().await, Some(end));
    assert_eq!(client.receive().await, Some(goodbye(1)));
    assert_eq!(client.receive().await, None);
}

#[tokio::test]
async fn pings_are_answered_and_settings_are_not() {
    let mut client = Client::of(shout);
    // Settings, with one entry, and a window update.
    let settings = [
        0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 1, 0, 0,
    ];
    let window = [0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 1, 0];
    client.connection.write_all(&settings).await.unwrap();
    client.connection.write_all(&window).await.unwrap();
    client.send(Frame::Control(Control::Ping(7))).await;
    let pong = Some(Frame::Control(Control::Ping(7)));
    assert_eq!(client.receive().await, pong);
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_reset() {
    let mut client = Client::of(shout);
    client.data(5, b"lost", false).await;
    let (stream, status) = (5, INVALID_STREAM);
    let reset = Some(Frame::Control(Control::Reset { stream, status }));
    assert_eq!(client.receive().await, reset);
}

#[tokio::test]
async fn numbers_that_are_not_the_clients_end_the_connection() {
    for number in [2, 1] {
        let mut client = Client::of(shout);
        client.begin(1, "data").await;
        assert_eq!(client.receive().await, Some(reply(1)));
        client.begin(number, "data").await;
        assert_eq!(client.receive().await, None, "{number}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work() {
    struct Told(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.take().map(|tell| tell.send(()));
        }
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut client = Client::of(async move |_streams: Streams| {
        let _told = Told(Some(tell));
        std::future::pending::<()>().await;
    });
    client.begin(1, "data").await;
    assert_eq!(client.receive().await, Some(reply(1)));
    drop(client);
    told.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_unnoticed_is_pinged() {
    let mut client = Client::of(async |mut streams: Streams| {
        // A reader that does not read.
        let _stream = streams.next().await;
        std::future::pending::<()>().await;
    });
    client.begin(1, "data").await;
    assert_eq!(client.receive().await, Some(reply(1)));
    let ping = Some(Frame::Control(Control::Ping(2)));
    assert_eq!(client.receive().await, ping);
}
