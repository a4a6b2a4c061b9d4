//! What travels on a connection between two instances.
//!
//! A frame is `kind (1) · a (8) · b (8) · length (4) · body`, little-endian. Both
//! ends begin with a hello; then runs of calls and acknowledgements go both ways.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::{iter, mem};

use super::codec::{Fields, put_text};
use super::gather;
use super::link::{Chunk, Hello};

const MAGIC: u32 = u32::from_le_bytes(*b"akLk");
/// Changes whenever frames, pages or hellos change their layout.
const VERSION: u16 = 1;
const HEADER: usize = 21;
/// The longest payload of a call, in bytes.
pub const MAX_PAYLOAD: u64 = 64 << 20;
/// No body is longer: one call of the greatest length on top of a full chunk.
const MAX_BODY: u32 = (MAX_PAYLOAD as u32) + (1 << 20);

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Body: a [`Hello`].
    Hello,
    /// Body: why the other end is refused.
    Refuse,
    /// `a`: sequence number of the first call; `b`: how many; body: the calls.
    Calls,
    /// `a`: last durable call; `b`: grant in bytes.
    Acknowledge,
    /// The sender has finished and wants to go.
    Leave,
    /// It may.
    Farewell,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Refuse,
            3 => Self::Calls,
            4 => Self::Acknowledge,
            5 => Self::Leave,
            6 => Self::Farewell,
            _ => return None,
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Refuse => 2,
            Self::Calls => 3,
            Self::Acknowledge => 4,
            Self::Leave => 5,
            Self::Farewell => 6,
        }
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it says.
    pub kind: Kind,
    /// First number, by kind.
    pub a: u64,
    /// Second number, by kind.
    pub b: u64,
    /// Length of the body in bytes.
    pub length: usize,
}

/// Writes one frame.
pub fn write(out: &mut impl Write, kind: Kind, a: u64, b: u64, body: &[u8]) -> io::Result<()> {
    out.write_all(&encode_head(kind, a, b, body.len()))?;
    out.write_all(body)
}

/// Writes whole frames (`before`), then runs of calls, from where they lie, as frames.
pub fn write_runs(
    out: &mut impl Write,
    mut before: &[u8],
    chunks: &[Arc<Chunk>],
) -> io::Result<()> {
    const TOGETHER: usize = 15;
    for chunks in chunks.chunks(TOGETHER) {
        let mut heads = [[0; HEADER]; TOGETHER];
        for (head, chunk) in heads.iter_mut().zip(chunks) {
            let count = u64::from(chunk.count);
            *head = encode_head(Kind::Calls, chunk.first, count, chunk.run.len());
        }
        let frames = heads.iter().zip(chunks);
        let frames = frames.flat_map(|(head, chunk)| [&head[..], &chunk.run]);
        gather::write_all(out, iter::once(mem::take(&mut before)).chain(frames))?;
    }
    out.write_all(before)
}

fn encode_head(kind: Kind, a: u64, b: u64, length: usize) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    head[0] = kind.byte();
    head[1..9].copy_from_slice(&a.to_le_bytes());
    head[9..17].copy_from_slice(&b.to_le_bytes());
    head[17..].copy_from_slice(&(length as u32).to_le_bytes());
    head
}

/// Reads the head of the next frame.
pub fn read_head(input: &mut impl Read) -> io::Result<Head> {
    let mut bytes = [0; HEADER];
    input.read_exact(&mut bytes)?;
    let mut fields = Fields(&bytes);
    let mut read = || {
        let kind = Kind::from_byte(fields.u8()?)?;
        let (a, b) = (fields.u64()?, fields.u64()?);
        let length = fields.u32().filter(|&length| length <= MAX_BODY)? as usize;
        Some(Head { kind, a, b, length })
    };
    read().ok_or_else(|| invalid("this is not an instance of perftest"))
}

/// Reads a body of `head.length` bytes into `buffer`, which only ever grows, and
/// answers it.
pub fn read_body<'a>(
    input: &mut impl Read,
    head: &Head,
    buffer: &'a mut Vec<u8>,
) -> io::Result<&'a [u8]> {
    if buffer.len() < head.length {
        buffer.resize(head.length, 0);
    }
    let body = &mut buffer[..head.length];
    input.read_exact(body)?;
    Ok(body)
}

/// The body of a hello.
pub fn encode_hello(hello: &Hello) -> Vec<u8> {
    let mut out = MAGIC.to_le_bytes().to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    put_text(&mut out, &hello.from);
    put_text(&mut out, &hello.to);
    for value in [hello.epoch, hello.next_in, hello.durable, hello.grant] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out
}

/// Reads the body of a hello; an error is a sentence for the peer.
pub fn decode_hello(body: &[u8]) -> Result<Hello, String> {
    let mut fields = Fields(body);
    if fields.u32() != Some(MAGIC) {
        return Err("that was no hello".into());
    }
    match fields.u16() {
        Some(VERSION) => {}
        version => {
            return Err(format!(
                "protocol version {VERSION} is spoken here, not {}; use the same aks-tui on both sides",
                version.unwrap_or_default()
            ));
        }
    }
    let mut read = || {
        Some(Hello {
            from: fields.text()?,
            to: fields.text()?,
            epoch: fields.u64()?,
            next_in: fields.u64()?,
            durable: fields.u64()?,
            grant: fields.u64()?,
        })
    };
    read()
        .filter(|hello| hello.next_in > 0)
        .ok_or_else(|| "that hello was cut short".into())
}

/// An error for bytes that make no sense.
pub fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hello_comes_back() {
        let hello = Hello {
            from: "perftestclient".into(),
            to: "perftestserver".into(),
            epoch: 3,
            next_in: 4,
            durable: 5,
            grant: 6,
        };
        let body = encode_hello(&hello);
        assert_eq!(decode_hello(&body), Ok(hello));
        for end in 0..body.len() {
            assert!(decode_hello(&body[..end]).is_err());
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut body = encode_hello(&Hello {
            from: String::new(),
            to: String::new(),
            epoch: 1,
            next_in: 1,
            durable: 0,
            grant: 0,
        });
        body[4] = 9;
        assert!(decode_hello(&body).unwrap_err().contains("version 1"));
    }

    proptest! {
        #[test]
        fn frames_come_back(a: u64, b: u64, body: Vec<u8>) {
            let mut bytes = Vec::new();
            write(&mut bytes, Kind::Calls, a, b, &body).unwrap();
            let mut input = bytes.as_slice();
            let head = read_head(&mut input).unwrap();
            prop_assert_eq!(head, Head { kind: Kind::Calls, a, b, length: body.len() });
            let mut buffer = Vec::new();
            prop_assert_eq!(read_body(&mut input, &head, &mut buffer).unwrap(), body.as_slice());
        }

        #[test]
        fn runs_are_frames(runs in prop::collection::vec((any::<u64>(), any::<u32>(), any::<Vec<u8>>()), 0..40)) {
            let chunks = runs.into_iter().map(|(first, count, run)| Arc::new(Chunk { first, count, run, payload: 0 }));
            let chunks: Vec<_> = chunks.collect();
            let (mut together, mut each) = (Vec::new(), Vec::new());
            write(&mut each, Kind::Leave, 0, 0, &[]).unwrap();
            write_runs(&mut together, &each, &chunks).unwrap();
            for chunk in &chunks {
                write(&mut each, Kind::Calls, chunk.first, chunk.count.into(), &chunk.run).unwrap();
            }
            prop_assert_eq!(together, each);
        }

        #[test]
        fn junk_is_refused_without_panic(bytes: Vec<u8>) {
            let _ = decode_hello(&bytes);
            let _ = read_head(&mut bytes.as_slice());
        }
    }
}
