//! What exec, attach and port-forward say on the wire, right and wrong.

use fastrand::Rng;
use flate2::{Compress, Compression, FlushCompress};

/// Which conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Exec,
    Attach,
    Forward,
}

/// Bytes that nobody has thought about.
pub fn noise(random: &mut Rng, most: usize) -> Vec<u8> {
    let length = random.usize(..=most);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

/// One of these.
fn one<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

/// A client's frames of SPDY/3.1, the next of which may be of any kind.
pub struct Spdy {
    part: Part,
    packer: Compress,
    /// The number of the next stream.
    next: u32,
}

impl Spdy {
    pub fn new(part: Part) -> Self {
        Self {
            part,
            packer: Compress::new(Compression::fast(), true),
            next: 1,
        }
    }

    /// A block of headers. It does without the protocol's dictionary: a
    /// compressor may.
    fn block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        self.pack(&plain)
    }

    fn pack(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(plain.len() + 1024);
        self.packer
            .compress_vec(plain, &mut packed, FlushCompress::Sync)
            .unwrap();
        packed
    }

    /// The streams that a well-behaved client begins, in its order.
    pub fn opening(&mut self, kinds: &[&str]) -> Vec<u8> {
        let mut wire = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            let pair = (at / 2).to_string();
            wire.extend(self.begin(
                0,
                &[("streamtype", kind), ("port", "8080"), ("requestid", &pair)],
            ));
        }
        wire
    }

    fn begin(&mut self, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(headers);
        let mut body = self.next.to_be_bytes().to_vec();
        body.extend([0; 6]);
        body.extend(block);
        self.next += 2;
        control(1, flags, &body)
    }

    /// The number of a stream, mostly one that is there.
    fn stream(&self, random: &mut Rng) -> u32 {
        match random.u8(..8) {
            0 => random.u32(..),
            1 => 0,
            _ => random.u32(..=self.next / 2) * 2 + 1,
        }
    }

    /// Any frame, well-formed or not.
    pub fn any(&mut self, random: &mut Rng) -> Vec<u8> {
        let stream = self.stream(random).to_be_bytes();
        match random.u8(..20) {
            0..=5 => self.any_begin(random),
            6..=10 => {
                let bytes = {
                    let most = one(random, &[0, 1, 300, 40_000]);
                    noise(random, most)
                };
                data(self.stream(random), random.u8(..2), &bytes)
            }
            11 => control(3, 0, &[stream, random.u32(..12).to_be_bytes()].concat()),
            12 => control(6, 0, &random.u32(..9).to_be_bytes()),
            13 => control(7, 0, &[stream, [0; 4]].concat()),
            14 => {
                let block = self.block(&[("streamtype", "data")]);
                let kind = one(random, &[2, 8]);
                control(kind, random.u8(..2), &[stream.to_vec(), block].concat())
            }
            15 => control(one(random, &[4, 9]), 0, &noise(random, 20)),
            // A head that promises more than will come, or more than may.
            16 => {
                let length = one(random, &[1_u32, 40_000, 0x00ff_ffff]);
                let mut head = one(random, &[stream, [0x80, 3, 0, 1]]).to_vec();
                head.extend(length.to_be_bytes());
                head
            }
            17 => control(random.u16(..40), random.u8(..), &noise(random, 60)),
            18 => {
                let mut frame = control(6, 0, &[0, 0, 0, 1]);
                frame[1] = random.u8(..);
                frame
            }
            _ => noise(random, 64),
        }
    }

    fn any_begin(&mut self, random: &mut Rng) -> Vec<u8> {
        let known: &[&str] = match self.part {
            Part::Forward => &["data", "error"],
            _ => &["error", "stdin", "stdout", "stderr", "resize"],
        };
        let kind = match random.u8(..10) {
            0 => "nonsense",
            _ => one(random, known),
        };
        let port = one(
            random,
            &["8080", "8080", "8080", "81", "0", "65536", "", "http"],
        );
        let request = random.u8(..3).to_string();
        match random.u8(..12) {
            // The number of a stream is not the next one.
            0 => self.next = random.u32(..),
            // A block that is none, or that is a little damaged.
            1 | 2 => {
                let mut frame = self.begin(0, &[("streamtype", kind)]);
                let at = random.usize(8..frame.len());
                frame[at] = random.u8(..);
                return frame;
            }
            // A small block that becomes a large one.
            3 => {
                let packed = self.pack(&vec![0; 1 << 20]);
                let body = [&[0, 0, 0, 1][..], &[0; 6], &packed].concat();
                return control(1, 0, &body);
            }
            _ => {}
        }
        let headers = [
            ("streamtype", kind),
            ("port", port),
            ("requestid", &request),
        ];
        self.begin(random.u8(..2), &headers[..random.usize(1..=3)])
    }
}

/// A question that is answered with the same.
pub fn ping(number: u32) -> Vec<u8> {
    control(6, 0, &number.to_be_bytes())
}

fn control(kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80, 3];
    frame.extend(kind.to_be_bytes());
    frame.extend((u32::from(flags) << 24 | body.len() as u32).to_be_bytes());
    frame.extend(body);
    frame
}

fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = (stream & 0x7fff_ffff).to_be_bytes().to_vec();
    frame.extend((u32::from(flags) << 24 | bytes.len() as u32).to_be_bytes());
    frame.extend(bytes);
    frame
}

/// A frame of a WebSocket as a client sends it: `first` holds the end mark,
/// the reserved bits and the kind.
pub fn websocket(random: &mut Rng, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0xfe);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask: [u8; 4] = random.u32(..).to_be_bytes();
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4]),
    );
    frame
}

/// The end mark and the kind of a whole binary message, and of what ends all.
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;

/// Any frame of a WebSocket's channels.
pub fn any_channel(random: &mut Rng) -> Vec<u8> {
    let bytes = {
        let most = one(random, &[0, 1, 300, 40_000]);
        noise(random, most)
    };
    let on = |channel: u8, bytes: &[u8]| [&[channel], bytes].concat();
    match random.u8(..18) {
        0..=5 => websocket(random, BINARY, &on(0, &bytes)),
        6 => {
            let size: &[u8] = one(
                random,
                &[
                    b"{\"Width\":80,\"Height\":24}",
                    b"{\"Width\":-1,\"Height\":99999999}",
                    b"[",
                ],
            );
            websocket(random, BINARY, &on(4, size))
        }
        7 => {
            let closed = [random.u8(..), 0][random.usize(..2)];
            websocket(random, BINARY, &on(255, &[closed]))
        }
        8 => {
            let channel = random.u8(..);
            websocket(random, BINARY, &on(channel, &bytes))
        }
        9 => websocket(random, BINARY, &[]),
        // A message in pieces, whose rest may never come.
        10 => websocket(random, 0x02, &on(0, &bytes)),
        11 => {
            let first = one(random, &[0x00, 0x80]);
            websocket(random, first, &bytes)
        }
        // Ping, pong and text, and texts that are none.
        12 => {
            let first = one(random, &[0x89, 0x8a, 0x81]);
            websocket(random, first, &bytes)
        }
        13 => {
            let code = random.u16(..).to_be_bytes();
            let length = random.usize(..=code.len());
            websocket(random, CLOSE, &code[..length])
        }
        // Reserved bits and kinds.
        14 => {
            let first = random.u8(..);
            websocket(random, first, &bytes)
        }
        // Without the mask that a client must use.
        15 => vec![BINARY, 1, 0],
        // A length that nothing has.
        16 => [&[BINARY, 0xff][..], &random.u64(..).to_be_bytes()].concat(),
        _ => noise(random, 64),
    }
}
