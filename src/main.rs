//! From arguments to an exit code.

fn main() -> std::process::ExitCode {
    keep_freed_memory();
    leadrelay::cli::main()
}

/// What a thousand messages needed the next thousand will need: glibc gives freed memory back to the system and asks for it
/// again, a page fault each time, and spreads it over an arena a thread. A sixth of the processor (measured).
/// <https://man7.org/linux/man-pages/man3/mallopt.3.html>
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    const MIB: i32 = 1 << 20;
    let options = [
        (libc::M_ARENA_MAX, 2),
        (libc::M_TRIM_THRESHOLD, 256 * MIB),
        (libc::M_TOP_PAD, MIB),
        (libc::M_MMAP_THRESHOLD, MIB),
    ];
    for (option, value) in options {
        // SAFETY: it takes any value, and no other thread has begun.
        #[expect(unsafe_code, reason = "the allocator's options have no other door")]
        unsafe {
            // Refused, it costs processor and nothing else.
            libc::mallopt(option, value);
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}
