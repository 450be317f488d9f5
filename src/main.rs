//! The program: an allocator and a command line.

use std::process::ExitCode;

/// Returns freed blocks to the kernel, and has size classes that fit our chunks.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    weir::cli::run()
}
