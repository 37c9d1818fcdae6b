//! Which secret files may every user of the machine read?

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Readable by others, and every folder above it can be entered by them. A file on a tmpfs does not count: there container
/// runtimes put secrets with mode 0644 or 0444, for one container alone. Permissions of the group are the operator's choice.
pub(super) fn by_everybody(file: &Path) -> bool {
    const READ: u32 = 0o004;
    const ENTER: u32 = 0o001;
    let allows = |path: &Path, bit| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & bit != 0);
    // a link is followed first: a folder on the way counts where the file is
    let Ok(file) = fs::canonicalize(file) else { return false };
    allows(&file, READ) && file.ancestors().skip(1).all(|folder| allows(folder, ENTER)) && !is_in_memory(&file)
}

#[cfg(target_os = "linux")]
fn is_in_memory(file: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2).
    const IN_MEMORY: [i128; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(file).is_ok_and(|system| IN_MEMORY.contains(&i128::from(system.f_type)))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_file: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_is_readable_by_everybody_if_it_is_and_every_folder_can_be_entered() {
        // not below the system's folder for such things, which may be in memory
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (folder, file, link) =
            (dir.path().join("folder"), dir.path().join("folder/secret"), dir.path().join("link"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "a secret").unwrap();
        symlink(&file, &link).unwrap();
        let above = dir.path().ancestors().skip(1).all(|folder| fs::metadata(folder).unwrap().mode() & 0o001 != 0);
        for (top, inner, mode, expected) in [
            (0o755, 0o711, 0o644, above),
            (0o755, 0o711, 0o604, above),
            (0o755, 0o711, 0o640, false),
            (0o755, 0o711, 0o600, false),
            (0o755, 0o710, 0o644, false),
            (0o700, 0o711, 0o644, false),
        ] {
            for (path, mode) in [(dir.path(), top), (&folder, inner), (&file, mode)] {
                set(path, mode);
            }
            assert_eq!(by_everybody(&file), expected, "{top:o} {inner:o} {mode:o}");
            assert_eq!(by_everybody(&link), expected, "by a link");
        }
        assert!(!by_everybody(&dir.path().join("missing")));
    }

    #[test]
    fn a_file_in_memory_is_not_said_to_be_readable() {
        let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
        let file = dir.path().join("secret");
        fs::write(&file, "a secret").unwrap();
        set(dir.path(), 0o755);
        set(&file, 0o644);
        assert_eq!(by_everybody(&file), !is_in_memory(&file));
    }
}
