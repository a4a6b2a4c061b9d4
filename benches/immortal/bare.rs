//! The machine's limit: two processes that move bytes over a socket and append
//! them to logs, concurrently, and do nothing else. Nothing waits for the log
//! here before it goes on, no byte is looked at.

use std::fs::{File, remove_file};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use color_eyre::eyre::{Result, eyre};

use super::pair::{self, Cost};

/// Bytes moved in one go.
const PIECE: usize = 256 << 10;
/// Pieces that may wait for the socket or the log.
const QUEUE: usize = 64;
/// A log this long is followed by another, and the one before it is removed: what
/// perftest keeps on its disk.
const LOG: u64 = 64 << 20;

/// Moves so many bytes, both ways or one, with logs in `directory` that are
/// synchronised or not.
pub fn run(bytes: u64, both_ways: bool, sync: bool, directory: &Path) -> Result<Cost> {
    let arguments = [
        bytes.to_string(),
        both_ways.to_string(),
        sync.to_string(),
        directory.display().to_string(),
    ];
    pair::play("bare", &arguments)
}

struct Part {
    port: u16,
    bytes: u64,
    both_ways: bool,
    sync: bool,
    directory: PathBuf,
}

/// Plays one of the two, if this process was started for that.
pub fn play_part(words: &[String]) -> Option<Result<()>> {
    let [name, port, bytes, both_ways, sync, directory] = words else {
        return None;
    };
    let part = Part {
        port: port.parse().ok()?,
        bytes: bytes.parse().ok()?,
        both_ways: both_ways.parse().ok()?,
        sync: sync.parse().ok()?,
        directory: directory.into(),
    };
    match name.as_str() {
        "bare-server" => Some(server(&part)),
        "bare-client" => Some(client(&part)),
        _ => None,
    }
}

fn server(part: &Part) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, part.port))?;
    println!("port {}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let echo = part.both_ways.then(|| stream.try_clone()).transpose()?;
    take(part, &mut stream, "server", echo)?;
    // What is logged is logged: the end of the measurement.
    stream.write_all(&[1])?;
    Ok(())
}

fn client(part: &Part) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, part.port))?;
    stream.set_nodelay(true)?;
    let began = Instant::now();
    let (mut out, mut left) = (stream.try_clone()?, part.bytes);
    let sender = thread::spawn(move || -> io::Result<()> {
        let piece = vec![7; PIECE];
        while left > 0 {
            let length = left.min(PIECE as u64);
            out.write_all(&piece[..length as usize])?;
            left -= length;
        }
        Ok(())
    });
    if part.both_ways {
        take(part, &mut stream, "client", None)?;
    }
    joined(sender)?;
    stream.read_exact(&mut [0])?;
    println!("seconds {}", began.elapsed().as_secs_f64());
    Ok(())
}

fn joined(thread: thread::JoinHandle<io::Result<()>>) -> Result<()> {
    thread.join().map_err(|_| eyre!("a thread panicked"))??;
    Ok(())
}

type Piece = Arc<(Vec<u8>, usize)>;

/// Reads all bytes from `stream`, logs them, and sends them back on `echo`.
fn take(part: &Part, stream: &mut TcpStream, name: &str, echo: Option<TcpStream>) -> Result<()> {
    let (spare, spares) = channel();
    let (to_log, logged) = sync_channel(QUEUE);
    let log = Log::create(part.directory.join(name), part.sync)?;
    let back = spare.clone();
    let mut threads = vec![thread::spawn(move || log.run(&logged, &back))];
    let mut outputs: Vec<SyncSender<Piece>> = vec![to_log];
    if let Some(echo) = echo {
        let (to_echo, echoed) = sync_channel(QUEUE);
        outputs.push(to_echo);
        threads.push(thread::spawn(move || send_back(echo, &echoed, &spare)));
    }
    let mut left = part.bytes;
    while left > 0 {
        let mut buffer = spares.try_recv().unwrap_or_else(|_| vec![0; PIECE]);
        let length = stream.read(&mut buffer[..left.min(PIECE as u64) as usize])?;
        if length == 0 {
            return Err(eyre!("the other process is gone"));
        }
        left -= length as u64;
        let piece = Arc::new((buffer, length));
        for output in &outputs {
            output
                .send(Arc::clone(&piece))
                .map_err(|_| eyre!("a thread is gone"))?;
        }
    }
    drop(outputs);
    threads.into_iter().try_for_each(joined)
}

fn send_back(
    mut stream: TcpStream,
    pieces: &Receiver<Piece>,
    spare: &Sender<Vec<u8>>,
) -> io::Result<()> {
    for piece in pieces {
        stream.write_all(&piece.0[..piece.1])?;
        give_back(piece, spare);
    }
    Ok(())
}

/// Whoever has a piece last keeps its memory for the next.
fn give_back(piece: Piece, spare: &Sender<Vec<u8>>) {
    if let Some((buffer, _)) = Arc::into_inner(piece) {
        // The reader may have all it needs.
        let _ = spare.send(buffer);
    }
}

struct Log {
    path: PathBuf,
    file: File,
    number: u64,
    length: u64,
    sync: bool,
}

impl Log {
    fn create(path: PathBuf, sync: bool) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path.with_extension("1"))?,
            path,
            number: 1,
            length: 0,
            sync,
        })
    }

    /// Writes all that waits, makes it durable, and so on.
    fn run(mut self, pieces: &Receiver<Piece>, spare: &Sender<Vec<u8>>) -> io::Result<()> {
        while let Ok(first) = pieces.recv() {
            for piece in std::iter::once(first).chain(pieces.try_iter()) {
                self.file.write_all(&piece.0[..piece.1])?;
                self.length += piece.1 as u64;
                give_back(piece, spare);
            }
            if self.sync {
                self.file.sync_data()?;
            }
            if self.length >= LOG {
                self.next()?;
            }
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<()> {
        let name = |number: u64| self.path.with_extension(number.to_string());
        let old = self.number.checked_sub(1).filter(|&number| number > 0);
        let file = File::create(name(self.number + 1))?;
        if let Some(old) = old {
            remove_file(name(old))?;
        }
        self.file = file;
        self.number += 1;
        self.length = 0;
        Ok(())
    }
}
