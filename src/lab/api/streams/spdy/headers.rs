//! Header blocks of SPDY/3.1: names and values, compressed by zlib with a
//! dictionary that both sides know. One compressor lives as long as its
//! direction of the connection, so blocks must be read in the order in which
//! they were written, every one of them.

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Malformed;

/// The most that one block may hold once it is unpacked, in bytes. A few
/// hundred bytes packed could become megabytes otherwise.
const LARGEST: usize = 64 * 1024;

/// The words of the dictionary (SPDY/3, section 2.6.10.1), each preceded by
/// its length there.
const WORDS: [&str; 64] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
];

/// The rest of the dictionary: the last word, then text without lengths.
const LAST_WORD: &str = "origin";
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.iter().chain([&LAST_WORD]) {
        put(&mut bytes, word);
    }
    bytes.extend_from_slice(TEXT.as_bytes());
    bytes
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.put_u32(text.len() as u32);
    bytes.put_slice(text.as_bytes());
}

/// Names, in lower case, and values, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The value of a name, given in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Packs the blocks of one direction.
#[derive(Debug)]
pub(super) struct Packer(Compress);

impl Packer {
    pub fn new() -> Result<Self, Malformed> {
        let mut packer = Compress::new(Compression::fast(), true);
        let set = packer.set_dictionary(&dictionary());
        set.map_err(|_| Malformed("no compressor"))?;
        Ok(Self(packer))
    }

    pub fn pack(&mut self, headers: &Headers) -> Result<Vec<u8>, Malformed> {
        let mut plain = Vec::new();
        plain.put_u32(headers.0.len() as u32);
        for (name, value) in &headers.0 {
            put(&mut plain, name);
            put(&mut plain, value);
        }
        let mut packed = Vec::new();
        let before = self.0.total_in();
        loop {
            let read = (self.0.total_in() - before) as usize;
            packed.reserve(plain.len() / 2 + 256);
            let room = packed.capacity();
            self.0
                .compress_vec(&plain[read..], &mut packed, FlushCompress::Sync)
                .map_err(|_| Malformed("headers that do not compress"))?;
            // Room left over means that there was no more to write.
            if packed.len() < room {
                return Ok(packed);
            }
        }
    }
}

/// Unpacks the blocks of one direction.
#[derive(Debug)]
pub(super) struct Unpacker(Decompress);

impl Unpacker {
    pub fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Reads one block; an error leaves the connection unreadable.
    pub fn unpack(&mut self, packed: &[u8]) -> Result<Headers, Malformed> {
        let broken = Malformed("a header block that is no zlib data");
        let mut plain = Vec::with_capacity(packed.len() * 4 + 256);
        let before = self.0.total_in();
        loop {
            let rest = &packed[(self.0.total_in() - before) as usize..];
            let had = (plain.len(), rest.len());
            let unpacked = self
                .0
                .decompress_vec(rest, &mut plain, FlushDecompress::Sync);
            match unpacked {
                Ok(Status::StreamEnd) => return Err(broken),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.0.set_dictionary(&dictionary());
                    set.map_err(|_| Malformed("a header block with another dictionary"))?;
                    continue;
                }
                Err(_) => return Err(broken),
            }
            if plain.len() > LARGEST {
                return Err(Malformed("a header block that is too large"));
            }
            let left = packed.len() - (self.0.total_in() - before) as usize;
            if plain.len() == plain.capacity() {
                plain.reserve(plain.len());
            } else if left == 0 || (plain.len(), left) == had {
                break;
            }
        }
        parse(&plain)
    }
}

fn parse(mut plain: &[u8]) -> Result<Headers, Malformed> {
    let count = number(&mut plain)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let name = text(&mut plain)?;
        let value = text(&mut plain)?;
        headers.push((name.to_ascii_lowercase(), value));
    }
    if plain.is_empty() {
        Ok(Headers(headers))
    } else {
        Err(Malformed("a header block with more than its headers"))
    }
}

fn number(plain: &mut &[u8]) -> Result<u32, Malformed> {
    plain
        .try_get_u32()
        .map_err(|_| Malformed("a header block that ends too early"))
}

fn text(plain: &mut &[u8]) -> Result<String, Malformed> {
    let length = number(plain)? as usize;
    let Some((bytes, rest)) = plain.split_at_checked(length) else {
        return Err(Malformed("a header that is longer than its block"));
    };
    *plain = rest;
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed("a header that is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_protocol() {
        // Its Adler-32 checksum, which zlib writes where a dictionary is needed.
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in dictionary() {
            a = (a + u32::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((b << 16) | a, 0xe3c6_a7c2);
    }

    #[test]
    fn a_small_block_cannot_become_a_large_one() {
        let mut packer = Packer::new().unwrap();
        let bomb = Headers(vec![("a".into(), "x".repeat(4 << 20))]);
        let packed = packer.pack(&bomb).unwrap();
        assert!(packed.len() < 64 * 1024, "{}", packed.len());
        assert!(Unpacker::new().unpack(&packed).is_err());
    }

    proptest! {
        #[test]
        fn blocks_come_back_in_their_order(
            blocks in proptest::collection::vec(
                proptest::collection::vec(("[a-z-]{1,20}", "[ -~]{0,300}"), 0..8), 1..6),
        ) {
            let mut packer = Packer::new().unwrap();
            let mut unpacker = Unpacker::new();
            for block in blocks {
                let headers = Headers(block);
                let packed = packer.pack(&headers).unwrap();
                prop_assert_eq!(unpacker.unpack(&packed).unwrap(), headers);
            }
        }

        #[test]
        fn no_block_breaks_the_reader(
            packed in proptest::collection::vec(any::<u8>(), 0..300),
            plain in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = Unpacker::new().unpack(&packed);
            let _ = parse(&plain);
        }

        #[test]
        fn a_damaged_block_breaks_nothing(
            at in any::<proptest::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut packer = Packer::new().unwrap();
            let headers = Headers(vec![("streamtype".into(), "data".into()), ("port".into(), "80".into())]);
            let mut packed = packer.pack(&headers).unwrap();
            let at = at.index(packed.len());
            packed[at] = byte;
            let mut unpacker = Unpacker::new();
            let _ = unpacker.unpack(&packed);
            let _ = unpacker.unpack(&packed);
        }
    }
}
