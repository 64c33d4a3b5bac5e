//! From arguments to an exit code.

/// A message is many small pieces that one thread allocates and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    leadrelay::cli::main()
}
