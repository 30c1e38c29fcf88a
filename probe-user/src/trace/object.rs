//! The committed BPF object: parsed, its maps created, its programs loaded.

use super::{TraceError, price};
use crate::sys::bpf::{AttachType, load_program, update_batch, verified_instructions};
use async_inspect_ebpf::ABI_HASH;
use aya::maps::{Map, MapData, MapError};
use aya_obj::Object;
use aya_obj::generated::{BPF_ALU64, BPF_CALL, BPF_EXIT, BPF_JMP, BPF_K, BPF_MOV, bpf_func_id, bpf_insn};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use zerocopy::{Immutable, IntoBytes};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../probe-ebpf/prebuilt/async-inspect.bpf.o"
));

/// Section with the hash of the ABI that the object was built with.
const ABI_SECTION: &str = ".rodata.abi";

/// How many entries the maps get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub sites: usize,
    pub nodes: usize,
    pub arms: usize,
    pub vtables: usize,
    pub ring_bytes: usize,
    /// Of the ring for wakes and spawns.
    pub cause_bytes: usize,
    /// Of the ring for stacks.
    pub sample_bytes: usize,
}

/// Programs, loaded when they are first asked for, over maps that exist.
pub(super) struct Programs {
    object: Object,
    /// Open until the programs are loaded: their instructions name the maps by descriptor.
    maps: HashMap<String, Created>,
    loaded: RefCell<Vec<Loaded>>,
}

struct Created {
    data: MapData,
    /// Of a key and of a value, in bytes.
    sizes: (u32, u32),
}

struct Loaded {
    name: &'static str,
    attach: AttachType,
    fd: OwnedFd,
    /// Instructions that the verifier went through.
    verified: u32,
}

impl Programs {
    /// # Errors
    /// [`TraceError::Object`] if the object is not of this build, else what the kernel says to the maps.
    pub fn open(sizes: Sizes) -> Result<Self, TraceError> {
        // Before Linux 5.11 maps count as locked memory. To be refused (CAP_SYS_RESOURCE) is not fatal: a map that
        // then does not fit is refused in its turn.
        let unlimited = Rlimit { current: None, maximum: None };
        let _ = setrlimit(Resource::Memlock, unlimited);
        let mut object = Object::parse(OBJECT).map_err(|e| TraceError::Object(e.to_string()))?;
        check_abi(&mut object)?;
        let mut created = HashMap::new();
        let mut definitions = Vec::new();
        for (name, mut map) in object.maps.drain() {
            if let Some(entries) = entries(&name, sizes) {
                // The kernel refuses a map without room.
                let entries = u32::try_from(entries.max(1));
                map.set_max_entries(
                    entries.map_err(|_| TraceError::Plan(format!("too many entries for {name}")))?,
                );
            }
            definitions.push((name.clone(), map.clone()));
            let sizes = (map.key_size(), map.value_size());
            let data = MapData::create(map, &name, None).map_err(map_error)?;
            created.insert(name, Created { data, sizes });
        }
        let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let fds = definitions
            .iter()
            .map(|(name, map)| (name.as_str(), created[name].data.fd().as_fd().as_raw_fd(), map));
        object.relocate_maps(fds, &text).map_err(|e| TraceError::Object(e.to_string()))?;
        object.relocate_calls(&text).map_err(|e| TraceError::Object(e.to_string()))?;
        Ok(Programs { object, maps: created, loaded: RefCell::default() })
    }

    fn created(&self, name: &str) -> Result<&Created, TraceError> {
        self.maps.get(name).ok_or_else(|| TraceError::Object(format!("no map {name}")))
    }

    /// Sets `keys[i]` of a map to `values[i]`.
    ///
    /// # Errors
    /// [`TraceError::Object`] where the map's are of another size, else what the kernel says.
    pub fn fill<K: IntoBytes + Immutable, V: IntoBytes + Immutable>(
        &self,
        name: &'static str,
        keys: &[K],
        values: &[V],
    ) -> Result<(), TraceError> {
        let Created { data, sizes } = self.created(name)?;
        let given = (size_of::<K>() as u32, size_of::<V>() as u32);
        if *sizes != given {
            return Err(TraceError::Object(format!("the map {name} is of {sizes:?} bytes, not {given:?}")));
        }
        let filled = update_batch(data.fd().as_fd(), keys, values);
        filled.map_err(|error| TraceError::from_io("use BPF maps", error))
    }

    /// The descriptor of a map.
    pub fn map_fd(&self, name: &'static str) -> Result<OwnedFd, TraceError> {
        self.created(name)?
            .data
            .fd()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| TraceError::from_io("use BPF maps", error))
    }

    /// Opens a map.
    pub fn map<M>(&self, name: &'static str) -> Result<M, TraceError>
    where
        M: TryFrom<Map, Error = MapError>,
    {
        let fd = self.map_fd(name)?;
        Map::from_map_data(MapData::from_fd(fd).map_err(map_error)?).and_then(M::try_from).map_err(map_error)
    }

    /// Programs loaded, with the instructions that the verifier went through for each.
    pub fn verified(&self) -> Vec<(&'static str, u32)> {
        self.loaded.borrow().iter().map(|loaded| (loaded.name, loaded.verified)).collect()
    }

    /// Loads a program, the first time it is asked for.
    ///
    /// # Errors
    /// [`TraceError::Verifier`] with the log if that is who refused.
    pub fn load(&self, name: &'static str, attach: AttachType) -> Result<OwnedFd, TraceError> {
        if let Some(known) = self.loaded.borrow().iter().find(|p| (p.name, p.attach) == (name, attach)) {
            return known.fd.try_clone().map_err(|error| TraceError::from_io("use BPF programs", error));
        }
        let fd = self.load_anew(name, attach)?;
        let kept = fd.try_clone().map_err(|error| TraceError::from_io("use BPF programs", error))?;
        // Kernels before 5.16 do not say.
        let verified = verified_instructions(fd.as_fd()).unwrap_or(0);
        tracing::debug!(program = name, verified, "loaded");
        self.loaded.borrow_mut().push(Loaded { name, attach, fd: kept, verified });
        Ok(fd)
    }

    fn load_anew(&self, name: &'static str, attach: AttachType) -> Result<OwnedFd, TraceError> {
        let missing = || TraceError::Object(format!("no program {name}"));
        let program = self.object.programs.get(name).ok_or_else(missing)?;
        let function = self.object.functions.get(&program.function_key()).ok_or_else(missing)?;
        let load = |log| load_program(name, &function.instructions, &program.license, attach, log);
        let refused = match load(None) {
            Ok(fd) => return Ok(fd),
            Err(refused) => refused,
        };
        // A second time for the log: asking for one costs the verifier time. A log too short for all of
        // it fails with ENOSPC and still holds the beginning.
        let mut log = vec![0; 1 << 20];
        let refused = match load(Some(&mut log)) {
            Ok(fd) => return Ok(fd),
            Err(again) if again.raw_os_error() == Some(libc::ENOSPC) => refused,
            Err(again) => again,
        };
        let log = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
        if log.trim().is_empty() {
            Err(TraceError::from_io("load BPF programs", refused))
        } else if !has_attach_cookies() {
            Err(no_attach_cookies())
        } else {
            Err(TraceError::Verifier { program: name, log: tail(&log) })
        }
    }
}

/// Whether the kernel has the youngest of the helpers that all our programs call.
pub(super) fn has_attach_cookies() -> bool {
    let instruction = |code: u32, imm: i32| bpf_insn {
        code: code as u8,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
        off: 0,
        imm,
    };
    let asks = [
        instruction(BPF_JMP | BPF_CALL, bpf_func_id::BPF_FUNC_get_attach_cookie as i32),
        instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0),
        instruction(BPF_JMP | BPF_EXIT, 0),
    ];
    load_program("asks", &asks, c"GPL", AttachType::PerfEvent, None).is_ok()
}

pub(super) fn no_attach_cookies() -> TraceError {
    let why = "it has no bpf_get_attach_cookie, so it is older than Linux 5.15".to_owned();
    TraceError::KernelTooOld { what: "tell probes apart", why }
}

/// The end of a verifier's log, where the reason stands.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn check_abi(object: &mut Object) -> Result<(), TraceError> {
    let built = object.maps.remove(ABI_SECTION).and_then(|section| section.data().first_chunk().copied());
    match built.map(u64::from_le_bytes) {
        Some(built) if built == ABI_HASH => Ok(()),
        Some(built) => {
            Err(TraceError::Object(format!("its ABI is {built:#x}, this build's is {ABI_HASH:#x}")))
        }
        None => Err(TraceError::Object(format!("it has no section {ABI_SECTION}"))),
    }
}

/// How many entries a map gets, where the object does not say it.
fn entries(map: &str, sizes: Sizes) -> Option<usize> {
    Some(match map {
        "SITES" | "POLLS" | "OTHER_TIMES" => sizes.sites,
        "NODES" => sizes.nodes.max(price::NODES),
        "ARMS" => sizes.arms.max(price::ARMS),
        "VTABLES" => sizes.vtables,
        "EVENTS" => sizes.ring_bytes,
        "CAUSES" => sizes.cause_bytes,
        "SAMPLES" => sizes.sample_bytes,
        _ => return None,
    })
}

pub(super) fn map_error(error: MapError) -> TraceError {
    match error {
        MapError::CreateError { io_error, .. } => TraceError::from_io("create BPF maps", io_error),
        MapError::SyscallError(error) => TraceError::from_io("use BPF maps", error.io_error),
        other => TraceError::Io { doing: "use BPF maps", error: io::Error::other(other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_for_cookies_is_a_program() {
        // Where it is refused here, it is for want of rights.
        let permitted = load_program("r0", &[], c"GPL", AttachType::PerfEvent, None)
            .is_err_and(|error| error.raw_os_error() != Some(libc::EPERM));
        assert!(has_attach_cookies() || !permitted);
    }

    #[test]
    fn the_object_is_of_this_build() {
        let mut object = Object::parse(OBJECT).expect("it is an object");
        check_abi(&mut object).expect("it is of this build");
        assert!(check_abi(&mut object).is_err(), "nothing there says of which");
    }

    /// Without it kernels from 6.13 on may crash: see `not_per_cpu` in probe-ebpf.
    #[test]
    fn no_program_gets_a_stack_per_cpu() {
        let object = Object::parse(OBJECT).expect("it is an object");
        assert_eq!(object.programs.len(), 11);
        for (name, program) in &object.programs {
            let function = &object.functions[&program.function_key()];
            let tail_call = function.instructions.iter().any(|instruction| {
                u32::from(instruction.code) == BPF_JMP | BPF_CALL
                    && instruction.src_reg() == 0
                    && instruction.imm == bpf_func_id::BPF_FUNC_tail_call as i32
            });
            assert!(tail_call, "{name}");
        }
    }
}
