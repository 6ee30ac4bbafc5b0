//! The hookbox binary. Everything is in the library.

fn main() -> std::process::ExitCode {
    hookbox::main()
}
