fn main() {
    peers::sites::run(|| {
        peers::types_500!(0);
        peers::types_500!(500);
    })
}
