//! What can be done to a pod's packets on their way, and the packets that wait.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Packets that may wait in one pod's queue; netem's default.
const WAITING: usize = 1000;

/// Bytes that may wait there.
const BYTES: usize = 64 << 20;

/// Something done to all that a pod sends.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fault {
    /// Nothing gets through.
    pub cut: bool,
    /// Every packet is so late,
    pub delay: Duration,
    /// give or take this much.
    pub jitter: Duration,
    /// Of a hundred packets so many are lost, from 0 to 100.
    pub loss: f64,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    At(Instant),
    Now,
}

/// The fate of a packet under all faults of its sender: delays add up.
pub(super) fn fate<'a>(faults: impl IntoIterator<Item = &'a Fault>) -> Fate {
    let mut late = Duration::ZERO;
    for fault in faults {
        if fault.cut || fastrand::f64() * 100.0 < fault.loss {
            return Fate::Lost;
        }
        let spread = fault.jitter.mul_f64(fastrand::f64() * 2.0);
        late += (fault.delay + spread).saturating_sub(fault.jitter);
    }
    if late.is_zero() {
        Fate::Now
    } else {
        Fate::At(Instant::now() + late)
    }
}

/// Packets that are late, in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Late {
    packets: BTreeMap<(Instant, u64), Vec<u8>>,
    count: u64,
    bytes: usize,
}

impl Late {
    /// Keeps a packet until then; says whether there was room.
    pub fn keep(&mut self, due: Instant, packet: &[u8]) -> bool {
        if self.packets.len() >= WAITING || self.bytes + packet.len() > BYTES {
            return false;
        }
        self.count += 1;
        self.bytes += packet.len();
        self.packets.insert((due, self.count), packet.to_vec());
        true
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.packets.keys().next().map(|(due, _)| *due)
    }

    /// Takes one that is due.
    pub fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        let first = self.packets.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let packet = first.remove();
        self.bytes -= packet.len();
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn faults_add_up() {
        assert_eq!(fate([]), Fate::Now);
        let cut = Fault {
            cut: true,
            ..Fault::default()
        };
        let slow = Fault {
            delay: Duration::from_millis(20),
            ..Fault::default()
        };
        let lossy = Fault {
            loss: 100.0,
            ..Fault::default()
        };
        let due = Fate::At(Instant::now() + Duration::from_millis(40));
        assert_eq!(fate([&slow, &slow]), due);
        assert_eq!(fate([&slow, &cut]), Fate::Lost);
        assert_eq!(fate([&lossy]), Fate::Lost);
        let uneven = Fault {
            jitter: Duration::from_millis(5),
            ..slow
        };
        for _ in 0..1000 {
            let Fate::At(due) = fate([&uneven]) else {
                panic!("not late");
            };
            let late = due - Instant::now();
            assert!((15..=25).contains(&late.as_millis()), "{late:?}");
        }
    }

    #[test]
    fn about_as_many_are_lost_as_was_asked_for() {
        let third = Fault {
            loss: 30.0,
            ..Fault::default()
        };
        let lost = (0..10_000).filter(|_| fate([&third]) == Fate::Lost).count();
        assert!((2700..3300).contains(&lost), "{lost}");
    }

    #[tokio::test(start_paused = true)]
    async fn late_packets_come_in_order_and_only_so_many_wait() {
        let mut late = Late::default();
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        assert!(late.keep(after(2), b"second"));
        assert!(late.keep(after(1), b"first"));
        assert!(late.keep(after(2), b"third"));
        assert_eq!(late.next(), Some(after(1)));
        assert_eq!(late.take(now), None);
        assert_eq!(late.take(after(1)).unwrap(), b"first");
        assert_eq!(late.take(after(2)).unwrap(), b"second");
        assert_eq!(late.take(after(2)).unwrap(), b"third");
        assert_eq!((late.next(), late.bytes), (None, 0));
        let kept = (0..2000).filter(|_| late.keep(now, b"x")).count();
        assert_eq!(kept, WAITING);
    }
}
