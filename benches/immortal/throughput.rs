//! Bytes and calls in a second, by message size.

use color_eyre::eyre::Result;

use super::pair::{Cost, Load};
use super::rooms::Args;
use super::table::Throughput;
use super::{bare, grpc, perftest};

/// gRPC takes long for small messages, and its rate does not hang on how many.
const GRPC_SHARE: u64 = 4;

/// Measures all sizes both ways and one way, with both durabilities.
pub fn measure(args: &Args) -> Result<Vec<Throughput>> {
    let mut rows = Vec::new();
    for both_ways in [true, false] {
        let mut beside = Vec::new();
        for &size in &args.sizes {
            let calls = (load(args, size, both_ways).calls / GRPC_SHARE).max(1);
            let load = Load {
                calls,
                ..load(args, size, both_ways)
            };
            eprintln!("measuring gRPC, {size} bytes …");
            beside.push((load.bytes(), median(args.times, || grpc::run(load))?));
        }
        for durability in ["os", "fsync"] {
            let bytes = args.mib << 20;
            eprintln!("measuring the machine, {durability} …");
            let bare = median(args.times, || {
                let directory = tempfile::Builder::new()
                    .prefix("aks-tui-bench-")
                    .tempdir()?;
                bare::run(bytes, both_ways, durability == "fsync", directory.path())
            })?;
            for (&size, &grpc) in args.sizes.iter().zip(&beside) {
                eprintln!("measuring perftest, {durability}, {size} bytes …");
                let load = load(args, size, both_ways);
                let ours = median(args.times, || {
                    perftest::run(&args.program, load, durability)
                })?;
                rows.push(Throughput::new(load, durability, ours, (bytes, bare), grpc));
            }
        }
    }
    Ok(rows)
}

fn load(args: &Args, size: u64, both_ways: bool) -> Load {
    Load {
        size,
        calls: ((args.mib << 20) / size).clamp(1, args.calls),
        both_ways,
    }
}

/// The run whose time is the middle one.
fn median(times: usize, run: impl FnMut() -> Result<Cost>) -> Result<Cost> {
    let runs: Result<Vec<Cost>> = std::iter::repeat_with(run).take(times.max(1)).collect();
    let mut runs = runs?;
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Ok(runs[runs.len() / 2])
}
