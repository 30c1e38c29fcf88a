fn main() {
    peers::sites::run(|| {
        peers::types_5!(0);
    })
}
