//! What containers use of the machine, as the kernel accounts for it.

use std::fs;
use std::time::Duration;

use super::container::Container;
use super::procs::{self, Process, TICKS_PER_SECOND};

/// What a container has used so far, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Processor time of all its processes, ended ones included.
    pub processor: Duration,
    /// Memory that cannot be read again from files, in bytes: as its control
    /// group counts it, else what is its processes' own.
    pub memory: u64,
}

/// What each of these containers uses now, by one look at the machine.
pub fn measure(containers: &[&Container]) -> Vec<Used> {
    let all = procs::all();
    let of = |container: &&Container| {
        let family = procs::descendants(container.outermost(), all.clone());
        let counted = container.memory();
        let sum = |each: &dyn Fn(&Process) -> u64| family.iter().map(each).sum();
        Used {
            processor: family.iter().map(processor).sum(),
            memory: counted.unwrap_or_else(|| sum(&|process| memory(process.pid))),
        }
    };
    containers.iter().map(of).collect()
}

fn processor(process: &Process) -> Duration {
    let ticks = process.ticks + process.ticks_of_ended;
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// Anonymous and shared memory of a process, in bytes; zero when it is gone.
fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_ascii_whitespace().next());
        number.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0)
    };
    (kibibytes("RssAnon:") + kibibytes("RssShmem:")) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_accounted_for() {
        let own = Process::read(std::process::id() as i32).unwrap();
        assert!(memory(own.pid) > 100 * 1024, "{}", memory(own.pid));
        assert_eq!(memory(-1), 0);
        let used = Process {
            ticks: 150,
            ticks_of_ended: 50,
            ..own
        };
        assert_eq!(processor(&used), Duration::from_secs(2));
    }
}
