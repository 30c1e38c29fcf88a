fn main() -> std::process::ExitCode {
    async_inspect::cli::main()
}
