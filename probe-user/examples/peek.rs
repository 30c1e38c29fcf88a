use async_inspect::{decode::*, dwarf::*, target::*};
use std::sync::Arc;
fn main() {
    let pid: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    let p = Process::open(pid).unwrap();
    let image = p.main_image().unwrap();
    let files = DebugFiles::of_image(&p, &image, None).unwrap();
    eprintln!("open {:?}", t.elapsed());
    let sections = Sections::load(files.dwarf().unwrap(), files.dwp.as_ref().map(|d| &d.bytes[..])).unwrap();
    let main = &files.main[..];
    let code = image.text_segments().map(|s| Code { start: s.address, bytes: &main[s.file_offset.0 as usize..(s.file_offset.0 + s.file_size) as usize] }).collect();
    let program = Program::new(&sections, None, code, &|_, _| {}).unwrap();
    eprintln!("index {:?} units {} sites {}", t.elapsed(), program.unit_count(), program.poll_sites().len());
    let bytes = program.index().to_bytes();
    eprintln!("index bytes {} {:?}", bytes.len(), t.elapsed());
    let t2 = std::time::Instant::now();
    Index::from_bytes(&bytes).unwrap();
    eprintln!("index load {:?}", t2.elapsed());
    let frames = Arc::new(Frames::default());
    let recipes = Recipes::new(&program, frames.clone(), vec![]);
    let sites = Sites::new(&recipes);
    for s in sites.iter() { eprintln!("site {} {} {:?} {:?}", s.poll, s.name, s.flavor, s.issue); }
    eprintln!("sites {:?} {:?}", t.elapsed(), sites.vtable);
    let regions = p.regions();
    let data: Vec<Region> = image.headers.segments.iter().filter(|s| s.writable).map(|s| Region { start: image.to_avma(s.address), end: image.to_avma(s.address).offset(s.size), readable: true, writable: true, executable: false, file_offset: 0, device: (0,0), inode: 0, path: String::new() }).collect();
    let heap: Vec<Region> = regions.iter().filter(|r| r.writable && r.readable && r.inode == 0 && r.path != "[stack]").cloned().collect();
    let cache = CachedMemory::new(&p, 64 << 20);
    let scope = Scope { bias: image.bias, tls_blocks: &[], data: &data, heap: &heap };
    let d = Search { program: &program, sites: &sites, memory: &cache, scope: &scope }.run();
    eprintln!("discover {:?}: {} tasks, {:?} {:?}", t.elapsed(), d.tasks.len(), d.schedulers, d.issues);
    let parts = tasks(&recipes, &p, image.bias, &d, sites.tokio_version.as_deref());
    eprintln!("decode {:?} {:?} {:?}", t.elapsed(), parts.coverage, parts.runtimes);
    for t in parts.tasks.iter().take(20) {
        println!("task {} {} {:?} loc {:?}", t.id.id, t.name, t.state, t.location(&frames));
        fn show(n: &Node, f: &Frames, d: usize, held: bool) {
            let x = f.get(n.frame);
            println!("{:1$}{6}{2} {3:?} {4:?} {5:?}", "", d * 2, x.function, x.kind, x.state, x.line.as_ref().map(|l| format!("{}:{} {:?}", l.file, l.line, x.expanded_from)), if held { "HELD " } else { "" });
            for c in &n.awaiting { show(c, f, d + 1, false); }
            for c in &n.held { show(c, f, d + 1, true); }
        }
        if let Some(n) = &t.tree { show(n, &frames, 1, false); }
    }
}
