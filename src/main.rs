//! From arguments to an exit code.

fn main() -> std::process::ExitCode {
    leadrelay::cli::main()
}
