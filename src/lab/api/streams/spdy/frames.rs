//! Frames of SPDY/3.1: what they look like on the wire, and nothing else.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Malformed;
use super::headers::{Headers, Packer, Unpacker};

/// Every frame begins with so many bytes.
pub(super) const HEAD: usize = 8;

/// The longest control frame that is read, in bytes. Data may be longer: it is
/// passed on as it comes.
const LONGEST: usize = 32 * 1024;

const VERSION: u16 = 3;
const FIN: u8 = 1;
const STREAM: u32 = 0x7fff_ffff;

/// A frame that is not data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Begins a stream.
    SynStream {
        /// Its number, odd when the client begins it.
        stream: u32,
        /// Its sender will send no data on it.
        fin: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// Its number.
        stream: u32,
        /// No data will follow.
        fin: bool,
        /// More about it.
        headers: Headers,
    },
    /// Ends a stream at once, in both directions.
    Reset {
        /// Its number.
        stream: u32,
        /// Why.
        status: u32,
    },
    /// Asks for the same frame back.
    Ping(u32),
    /// No more streams will be accepted.
    GoAway {
        /// The last stream that was.
        last: u32,
        /// Why: 0 is an orderly end, 1 an error in the protocol.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Its number.
        stream: u32,
        /// No data will follow.
        fin: bool,
        /// They.
        headers: Headers,
    },
    /// Settings and flow control, which Kubernetes' clients never heed: like
    /// the real server, the lab leaves back-pressure to TCP.
    Ignored,
}

/// A frame to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A control frame.
    Control(Control),
    /// Bytes of a stream.
    Data {
        /// Its number.
        stream: u32,
        /// They are the last ones.
        fin: bool,
        /// At most 16 MiB.
        bytes: Bytes,
    },
}

/// The first bytes of a frame, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Control {
        kind: u16,
        fin: bool,
        length: usize,
    },
    Data {
        stream: u32,
        fin: bool,
        length: usize,
    },
}

impl Head {
    pub fn parse(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let short = |_| Malformed("a frame without its head");
        let first = bytes.try_get_u32().map_err(short)?;
        let second = bytes.try_get_u32().map_err(short)?;
        let fin = (second >> 24) as u8 & FIN != 0;
        let length = (second & 0x00ff_ffff) as usize;
        if first >> 31 == 0 {
            let stream = first;
            return Ok(Self::Data {
                stream,
                fin,
                length,
            });
        }
        if (first >> 16) as u16 & 0x7fff != VERSION {
            return Err(Malformed("a frame of another version"));
        }
        if length > LONGEST {
            return Err(Malformed("a control frame that is too long"));
        }
        Ok(Self::Control {
            kind: first as u16,
            fin,
            length,
        })
    }
}

/// Reads the frames of one connection.
#[derive(Debug)]
pub(super) struct Decoder(Unpacker);

impl Decoder {
    pub fn new() -> Self {
        Self(Unpacker::new())
    }

    /// Reads the rest of a control frame.
    pub fn control(&mut self, kind: u16, fin: bool, mut body: &[u8]) -> Result<Control, Malformed> {
        let body = &mut body;
        Ok(match kind {
            1 => {
                let stream = stream(body)?;
                // The stream it belongs to, priority and slot say nothing here.
                number(body)?;
                body.try_get_u16().map_err(short)?;
                let headers = self.0.unpack(body)?;
                Control::SynStream {
                    stream,
                    fin,
                    headers,
                }
            }
            2 => Control::SynReply {
                stream: stream(body)?,
                fin,
                headers: self.0.unpack(body)?,
            },
            3 => Control::Reset {
                stream: stream(body)?,
                status: number(body)?,
            },
            6 => Control::Ping(number(body)?),
            7 => Control::GoAway {
                last: stream(body)?,
                status: number(body)?,
            },
            8 => Control::Headers {
                stream: stream(body)?,
                fin,
                headers: self.0.unpack(body)?,
            },
            4 | 9 => Control::Ignored,
            _ => return Err(Malformed("a frame of no known kind")),
        })
    }
}

fn short(_: bytes::TryGetError) -> Malformed {
    Malformed("a frame that ends too early")
}

fn number(body: &mut &[u8]) -> Result<u32, Malformed> {
    body.try_get_u32().map_err(short)
}

fn stream(body: &mut &[u8]) -> Result<u32, Malformed> {
    Ok(number(body)? & STREAM)
}

/// Writes the frames of one connection.
#[derive(Debug)]
pub(super) struct Encoder(Packer);

impl Encoder {
    pub fn new() -> Result<Self, Malformed> {
        Packer::new().map(Self)
    }

    /// Appends a frame.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Malformed> {
        let control = match frame {
            Frame::Data { stream, fin, bytes } => {
                out.put_u32(stream & STREAM);
                put_flags(out, *fin, bytes.len());
                out.put_slice(bytes);
                return Ok(());
            }
            Frame::Control(control) => control,
        };
        let mut body = Vec::new();
        let (kind, fin) = match control {
            Control::SynStream {
                stream,
                fin,
                headers,
            } => {
                body.put_u32(*stream);
                body.put_u32(0);
                body.put_u16(0);
                body.put_slice(&self.0.pack(headers)?);
                (1, *fin)
            }
            Control::SynReply {
                stream,
                fin,
                headers,
            }
            | Control::Headers {
                stream,
                fin,
                headers,
            } => {
                body.put_u32(*stream);
                body.put_slice(&self.0.pack(headers)?);
                let reply = matches!(control, Control::SynReply { .. });
                (if reply { 2 } else { 8 }, *fin)
            }
            Control::Reset { stream, status } => {
                body.put_u32(*stream);
                body.put_u32(*status);
                (3, false)
            }
            Control::Ping(id) => {
                body.put_u32(*id);
                (6, false)
            }
            Control::GoAway { last, status } => {
                body.put_u32(*last);
                body.put_u32(*status);
                (7, false)
            }
            Control::Ignored => return Ok(()),
        };
        out.put_u32((0x8000 | u32::from(VERSION)) << 16 | kind);
        put_flags(out, fin, body.len());
        out.put_slice(&body);
        Ok(())
    }
}

fn put_flags(out: &mut BytesMut, fin: bool, length: usize) {
    let flags = if fin { u32::from(FIN) } else { 0 };
    out.put_u32(flags << 24 | (length as u32 & 0x00ff_ffff));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(decoder: &mut Decoder, wire: &mut Bytes) -> Result<Frame, Malformed> {
        let head = Head::parse(&wire.split_to(HEAD.min(wire.len())))?;
        match head {
            Head::Data {
                stream,
                fin,
                length,
            } => {
                let bytes = wire.split_to(length.min(wire.len()));
                Ok(Frame::Data { stream, fin, bytes })
            }
            Head::Control { kind, fin, length } => {
                let body = wire.split_to(length.min(wire.len()));
                decoder.control(kind, fin, &body).map(Frame::Control)
            }
        }
    }

    fn headers() -> impl Strategy<Value = Headers> {
        proptest::collection::vec(("[a-z-]{1,12}", "[ -~]{0,40}"), 0..5).prop_map(Headers)
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let id = 1..STREAM;
        let fin = any::<bool>();
        prop_oneof![
            (id.clone(), fin, headers()).prop_map(|(stream, fin, headers)| Frame::Control(
                Control::SynStream {
                    stream,
                    fin,
                    headers
                }
            )),
            (id.clone(), fin, headers()).prop_map(|(stream, fin, headers)| Frame::Control(
                Control::SynReply {
                    stream,
                    fin,
                    headers
                }
            )),
            (id.clone(), fin, headers()).prop_map(|(stream, fin, headers)| Frame::Control(
                Control::Headers {
                    stream,
                    fin,
                    headers
                }
            )),
            (id.clone(), any::<u32>())
                .prop_map(|(stream, status)| Frame::Control(Control::Reset { stream, status })),
            any::<u32>().prop_map(|id| Frame::Control(Control::Ping(id))),
            (id.clone(), any::<u32>())
                .prop_map(|(last, status)| Frame::Control(Control::GoAway { last, status })),
            (id, fin, proptest::collection::vec(any::<u8>(), 0..200)).prop_map(
                |(stream, fin, bytes)| Frame::Data {
                    stream,
                    fin,
                    bytes: bytes.into()
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were_sent(frames in proptest::collection::vec(frame(), 0..20)) {
            let mut wire = BytesMut::new();
            let mut encoder = Encoder::new().unwrap();
            for frame in &frames {
                encoder.encode(frame, &mut wire).unwrap();
            }
            let mut wire = wire.freeze();
            let mut decoder = Decoder::new();
            for frame in frames {
                prop_assert_eq!(read(&mut decoder, &mut wire).unwrap(), frame);
            }
            prop_assert!(wire.is_empty());
        }

        #[test]
        fn no_bytes_break_the_reader(
            wire in proptest::collection::vec(any::<u8>(), 0..400),
            kind in 0_u16..12,
        ) {
            let mut decoder = Decoder::new();
            let _ = decoder.control(kind, false, &wire);
            let mut wire = Bytes::from(wire);
            while !wire.is_empty() && read(&mut decoder, &mut wire).is_ok() {}
        }
    }
}
