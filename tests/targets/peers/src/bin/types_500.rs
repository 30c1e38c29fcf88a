fn main() {
    peers::sites::run(|| {
        peers::types_500!(0);
    })
}
