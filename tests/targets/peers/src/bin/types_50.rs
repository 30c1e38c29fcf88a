fn main() {
    peers::sites::run(|| {
        peers::types_50!(0);
    })
}
