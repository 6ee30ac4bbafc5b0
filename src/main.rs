//! The hookbox binary: everything is in the library.

fn main() -> std::process::ExitCode {
    hookbox::cli::main()
}
