fn main() {
    peers::sites::run(|| {
        peers::types_500!(0);
        peers::types_500!(500);
        peers::types_500!(1000);
        peers::types_500!(1500);
        peers::types_500!(2000);
    })
}
