//! The `inxtfs` program; everything is in [`inxtfs::cli`].

fn main() -> std::process::ExitCode {
    inxtfs::cli::main()
}
