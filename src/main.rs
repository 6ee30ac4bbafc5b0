//! The hookbox binary: everything is in the library.

fn main() -> std::process::ExitCode {
    hookbox::handler::launch().unwrap_or_else(hookbox::cli::main)
}
