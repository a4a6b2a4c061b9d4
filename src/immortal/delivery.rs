//! Connections between instances: who dials, who listens, what they tell each
//! other, and how calls get across.
//!
//! A connection is disposable. When it breaks the dialling side makes another;
//! both then say how far they got, and what the other has not got is sent again.

use std::collections::HashSet;
use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::address::resolve;
use super::error::Error;
use super::link::{Hello, Link, Work};
use super::page::Piece;
use super::shared::{Event, Shared};
use super::wire::{self, Kind};

/// Pause between two attempts to reach a peer.
const RETRY: Duration = Duration::from_millis(20);
/// A peer that says nothing for so long after the connection is made is no peer.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Buffer of a socket's reader, in bytes: what is longer is read to its own place.
const BUFFER: usize = 8 << 10;
/// Bytes handed to the socket in one go when nothing caps them.
const BATCH: u64 = 512 << 10;

/// Tells people something, as one line.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a connection ended.
enum Ended {
    /// It broke: try again.
    Broken(io::Error),
    /// There is no point in another one.
    ForGood(Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Keeps a link connected by dialling `address`, for ever; it is asked anew at
/// each attempt, since a peer may have moved.
pub fn dial(shared: &Shared, link: u16, address: impl Fn() -> String, notice: &Notice) {
    let this = &shared.links[usize::from(link)];
    let peer = this.peer().unwrap_or_default();
    // One line an outage, and none about a peer that is no longer needed.
    let tell = |text: &str| {
        if !this.is_leaving() {
            notice(text);
        }
    };
    let mut out = false;
    loop {
        let address = address();
        let reached = connect(&address).map_err(Ended::Broken).and_then(|stream| {
            let id = greet(shared, link, &stream)?;
            if out {
                tell(&format!("connected to {peer}"));
            }
            let broken = exchange(shared, link, id, &stream);
            tell(&format!("lost {peer} at {address}: {broken}; reconnecting"));
            out = true;
            Ok(())
        });
        match reached {
            Ok(()) => {}
            Err(Ended::ForGood(error)) => return shared.tell(Event::Failed(error)),
            Err(Ended::Broken(error)) => {
                if !out {
                    tell(&format!("waiting for {peer} at {address}: {error}"));
                    out = true;
                }
                thread::sleep(RETRY);
            }
        }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&resolve(address)?, Duration::from_secs(1))?;
    // A port that nobody listens on may be chosen as the caller's own: it then talks
    // to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "nobody listens there",
        ));
    }
    prepare(&stream)?;
    Ok(stream)
}

/// Small frames go at once, and a peer whose machine is gone is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(1))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1))?;
        sockopt::set_tcp_keepcnt(stream, 4)?;
        sockopt::set_tcp_user_timeout(stream, 5000)?;
    }
    Ok(())
}

/// The dialling side's greeting; answers the id of the link's new connection.
fn greet(shared: &Shared, link: u16, stream: &TcpStream) -> Result<u64, Ended> {
    stream.set_read_timeout(Some(HANDSHAKE))?;
    let mine = hello(shared, link);
    wire::write(&mut &*stream, Kind::Hello, 0, 0, &wire::encode_hello(&mine))?;
    let head = wire::read_head(&mut &*stream)?;
    let mut body = Vec::new();
    let body = wire::read_body(&mut &*stream, &head, &mut body)?;
    if head.kind == Kind::Refuse {
        return Err(Ended::ForGood(Error::Refused {
            peer: mine.to,
            instance: mine.from,
            reason: String::from_utf8_lossy(body).into_owned(),
        }));
    }
    let theirs = wire::decode_hello(body).map_err(|reason| wire::invalid(&reason))?;
    let this = &shared.links[usize::from(link)];
    if let Err(reason) = this.judge(&theirs) {
        // Told to the other end for its log; this end says it and stops.
        let _ = wire::write(&mut &*stream, Kind::Refuse, 0, 0, reason.as_bytes());
        return Err(Ended::ForGood(Error::History { reason }));
    }
    establish(shared, link, stream, &theirs, mine.grant)?
        .ok_or_else(|| Ended::Broken(wire::invalid("an older execution of the peer answered")))
}

fn hello(shared: &Shared, link: u16) -> Hello {
    let next_in = shared.inbox.next_in(link);
    shared.links[usize::from(link)].hello(&shared.instance, shared.epoch(), next_in)
}

fn establish(
    shared: &Shared,
    link: u16,
    stream: &TcpStream,
    theirs: &Hello,
    granted: u64,
) -> io::Result<Option<u64>> {
    stream.set_read_timeout(None)?;
    shared.acknowledged(link, theirs.durable);
    Ok(shared.links[usize::from(link)].connect(stream.try_clone()?, theirs, granted))
}

/// Accepts peers, for ever.
pub fn listen(shared: &Arc<Shared>, listener: &TcpListener, notice: &Notice) {
    let refusals = Arc::new(Mutex::new(HashSet::new()));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, or the peer is gone again: later ones may fare better.
            thread::sleep(RETRY);
            continue;
        };
        let (this, notice) = (Arc::clone(shared), Arc::clone(notice));
        let refusals = Arc::clone(&refusals);
        let spawned = thread::Builder::new().name("peer".into()).spawn(move || {
            // A peer that breaks off is back soon; what it says is said on its side.
            if let Ok(Err(reason)) = welcome(&this, &stream) {
                let mut told = refusals.lock().unwrap_or_else(PoisonError::into_inner);
                if told.insert(reason.clone()) {
                    notice(&format!("refused a peer: {reason}"));
                }
            }
        });
        if let Err(source) = spawned {
            shared.tell(Event::Failed(Error::System {
                what: "a thread for a peer",
                source,
            }));
        }
    }
}

/// The listening side of one connection, from greeting to end. The inner error is
/// a refusal, as a sentence.
fn welcome(shared: &Shared, stream: &TcpStream) -> io::Result<Result<(), String>> {
    prepare(stream)?;
    stream.set_read_timeout(Some(HANDSHAKE))?;
    let head = wire::read_head(&mut &*stream)?;
    if head.kind != Kind::Hello {
        return Err(wire::invalid("no hello"));
    }
    let mut body = Vec::new();
    let body = wire::read_body(&mut &*stream, &head, &mut body)?;
    let judged = wire::decode_hello(body).and_then(|theirs| {
        let link = admit(shared, &theirs)?;
        shared.links[usize::from(link)].judge(&theirs)?;
        Ok((link, theirs))
    });
    let (link, theirs) = match judged {
        Ok(accepted) => accepted,
        Err(reason) => {
            wire::write(&mut &*stream, Kind::Refuse, 0, 0, reason.as_bytes())?;
            return Ok(Err(reason));
        }
    };
    let mine = hello(shared, link);
    let Some(id) = establish(shared, link, stream, &theirs, mine.grant)? else {
        let reason = format!("a newer execution of {} is connected", theirs.from);
        wire::write(&mut &*stream, Kind::Refuse, 0, 0, reason.as_bytes())?;
        return Ok(Err(reason));
    };
    wire::write(&mut &*stream, Kind::Hello, 0, 0, &wire::encode_hello(&mine))?;
    exchange(shared, link, id, stream);
    Ok(Ok(()))
}

/// Finds the link of a peer, giving it a free one if it is new.
fn admit(shared: &Shared, theirs: &Hello) -> Result<u16, String> {
    let this = &shared.instance;
    if theirs.to != *this && !theirs.to.contains(':') {
        return Err(format!("{this} is here, not {}", theirs.to));
    }
    let known = |link: &Link| link.peer().as_ref() == Some(&theirs.from);
    if let Some(index) = shared.links.iter().position(known) {
        return Ok(index as u16);
    }
    for (index, link) in shared.links.iter().enumerate() {
        if link.peer().is_none() && link.attach(&theirs.from) {
            shared.inbox.attach(index as u16, &theirs.from);
            return Ok(index as u16);
        }
    }
    let names: Vec<String> = shared.links.iter().filter_map(Link::peer).collect();
    Err(format!(
        "{this} serves {} and nobody else; start it with a greater -n, or use the name of one of them",
        names.join(", ")
    ))
}

/// Sends and receives until the connection breaks; answers why.
fn exchange(shared: &Shared, link: u16, id: u64, stream: &TcpStream) -> io::Error {
    let this = &shared.links[usize::from(link)];
    thread::scope(|scope| {
        scope.spawn(|| {
            // The reading side reports what broke.
            let _ = send(shared, this, link, id, stream);
            this.disconnect(id);
            let _ = stream.shutdown(Shutdown::Both);
        });
        let broken = match receive(shared, this, link, id, stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "connection closed")
            }
            Err(error) => error,
            Ok(()) => wire::invalid("the peer ended the connection"),
        };
        this.disconnect(id);
        broken
    })
}

fn receive(shared: &Shared, this: &Link, link: u16, id: u64, stream: &TcpStream) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, stream);
    let mut piece = Piece::default();
    loop {
        let head = wire::read_head(&mut input)?;
        match head.kind {
            Kind::Calls => {
                input.read_exact(piece.room_for_run(head.length))?;
                this.count_received(head.length as u64);
                let fresh = shared
                    .inbox
                    .receive(link, head.a, head.b as u32, &mut piece)
                    .map_err(|gap| {
                        wire::invalid(&format!("call {} came, not {}", head.a, gap.expected))
                    })?;
                this.count_executed((head.length - fresh) as u64);
            }
            Kind::Acknowledge => {
                shared.acknowledged(link, head.a);
                this.granted(id, head.b);
            }
            Kind::Leave => this.farewell(id),
            Kind::Farewell => shared.tell(Event::Left(link)),
            Kind::Refuse => {
                let mut reason = Vec::new();
                let reason = wire::read_body(&mut input, &head, &mut reason)?;
                return Err(wire::invalid(&String::from_utf8_lossy(reason)));
            }
            Kind::Hello => return Err(wire::invalid("a second hello")),
        }
    }
}

fn send(shared: &Shared, this: &Link, link: u16, id: u64, stream: &TcpStream) -> io::Result<()> {
    let mut out = stream;
    let mut short = Vec::new();
    let mut work = Work::default();
    let mut pace = Pace::new(shared.rate);
    let batch = if shared.rate.is_some() { 1 } else { BATCH };
    while this.next_work(id, pace.next, batch, &mut work) {
        if let Some((durable, grant)) = work.acknowledge {
            wire::write(&mut short, Kind::Acknowledge, durable, grant, &[])?;
        }
        wire::write_runs(&mut out, &short, &work.chunks)?;
        work.chunks
            .drain(..)
            .for_each(|chunk| pace.sent(chunk.payload));
        short.clear();
        if work.leave {
            wire::write(&mut short, Kind::Leave, 0, 0, &[])?;
        }
        if work.farewell {
            wire::write(&mut short, Kind::Farewell, 0, 0, &[])?;
        }
        out.write_all(&short)?;
        short.clear();
        if work.farewell {
            shared.tell(Event::Left(link));
        }
    }
    Ok(())
}

/// Spreads payload bytes evenly under a cap.
struct Pace {
    rate: Option<u64>,
    next: Option<Instant>,
}

impl Pace {
    /// What was not sent in time may be caught up with for so long.
    const BURST: Duration = Duration::from_millis(50);

    fn new(rate: Option<u64>) -> Self {
        Self { rate, next: None }
    }

    fn sent(&mut self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        let floor = now.checked_sub(Self::BURST).unwrap_or(now);
        let from = self.next.map_or(now, |next| next.max(floor));
        self.next = Some(from + Duration::from_secs_f64(bytes as f64 / rate as f64));
    }
}
