//! From arguments to an exit code.

fn main() -> std::process::ExitCode {
    leadrelay::cli::main()
}

/// A message's memory is taken by one thread and given back by another, a hundred at a time. The system's own allocator
/// spends a fifth of the processor on that; this one half of it, in as little memory (measured).
#[cfg(not(target_env = "msvc"))]
mod allocator {
    use tikv_jemallocator::Jemalloc;

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;

    /// One arena, which is what few threads need; small things only are kept by each thread; and what was freed is kept for
    /// the next messages for two seconds: <https://jemalloc.net/jemalloc.3.html#tuning>.
    // SAFETY: nobody else has this name, and what it points to is a C string that stays.
    #[expect(unsafe_code, reason = "the allocator looks for its options under this name")]
    #[unsafe(export_name = "_rjem_malloc_conf")]
    pub static OPTIONS: &[u8; 47] = b"narenas:1,lg_tcache_max:13,dirty_decay_ms:2000\0";
}
