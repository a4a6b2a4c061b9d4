//! Where a volume that outlives pods is: one directory of the lab for each
//! share or disk, whichever node and pod mounts it.
//!
//! A file share of Azure is known by its name, however it is written down: as
//! `azureFile`, or as `csi` of the driver `file.csi.azure.com`, in a pod or in
//! a persistent volume. A disk is known by its handle, and has an end where the
//! runtime can give it one; it is no directory then. The kubelet mounts the
//! directory; it is removed with a released volume whose reclaim policy is
//! `Delete`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

use super::quantity;

/// The driver of file shares.
pub const FILE_DRIVER: &str = "file.csi.azure.com";
/// The driver of disks.
pub const DISK_DRIVER: &str = "disk.csi.azure.com";

/// The directory of a volume's source, relative to the directory of all shares.
/// The source is a volume of a pod's spec or the spec of a persistent volume;
/// none when it is no share and no disk.
pub fn directory(source: &Value) -> Option<PathBuf> {
    let text = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        (!text.is_empty()).then(|| plain(text))
    };
    if let Some(name) = text(&source["azureFile"]["shareName"]) {
        return Some(Path::new("file").join(name));
    }
    if let Some(name) = text(&source["azureDisk"]["diskURI"]) {
        return Some(Path::new("disk").join(name));
    }
    let csi = &source["csi"];
    let handle = text(&csi["volumeHandle"]);
    match csi["driver"].as_str()? {
        FILE_DRIVER => {
            let name = text(&csi["volumeAttributes"]["shareName"]).or(handle)?;
            Some(Path::new("file").join(name))
        }
        DISK_DRIVER => Some(Path::new("disk").join(handle?)),
        _ => None,
    }
}

/// The name and size in bytes of what has an end: a disk, as the spec of a
/// persistent volume describes it. Shares have none here.
pub fn bounded(volume: &Value) -> Option<(String, u64)> {
    let directory = directory(volume).filter(|it| it.starts_with("disk"))?;
    let capacity = quantity::milli(volume["capacity"]["storage"].as_str()?)?;
    let name = directory.to_str()?.to_owned();
    Some((name, u64::try_from(capacity / 1000).ok()?))
}

/// Removes what a share or a disk holds. `shares` is the directory of them all.
///
/// # Errors
/// Whatever keeps it from going; it is no error that it is not there.
pub fn remove(shares: &Path, source: &Value) -> io::Result<()> {
    let Some(directory) = directory(source) else {
        return Ok(());
    };
    match fs::remove_dir_all(shares.join(directory)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A name that is one part of a path: no separators, no `.` in front. Different
/// names stay different.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        let fine = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'#')
            || (byte == b'.' && index > 0);
        if fine {
            plain.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(plain, "%{byte:02x}");
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_share_is_the_same_however_it_is_written_down() {
        let inline = json!({"name": "v", "azureFile": {"secretName": "s", "shareName": "logs"}});
        let attributes = json!({"shareName": "logs"});
        let csi = json!({"csi": {"driver": FILE_DRIVER, "volumeAttributes": attributes}});
        let volume = json!({"csi": {"driver": FILE_DRIVER, "volumeHandle": "rg#acc#logs",
            "volumeAttributes": attributes}});
        for source in [inline, csi, volume] {
            assert_eq!(directory(&source), Some(PathBuf::from("file/logs")));
        }
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for (name, expected) in [
            ("../../etc", "disk/%2e.%2f..%2fetc"),
            ("/subscriptions/x", "disk/%2fsubscriptions%2fx"),
            ("a%2fb", "disk/a%252fb"),
        ] {
            let source = json!({"csi": {"driver": DISK_DRIVER, "volumeHandle": name}});
            assert_eq!(directory(&source), Some(PathBuf::from(expected)));
        }
    }

    #[test]
    fn what_is_no_share_has_no_directory() {
        for source in [
            json!({"emptyDir": {}}),
            json!({"csi": {"driver": "secrets-store.csi.k8s.io"}}),
            json!({"csi": {"driver": DISK_DRIVER}}),
            json!({"azureFile": {"shareName": ""}}),
        ] {
            assert_eq!(directory(&source), None, "{source}");
        }
    }

    #[test]
    fn a_disk_has_an_end_and_a_share_has_none() {
        let volume = |driver: &str| json!({"capacity": {"storage": "64Mi"}, "csi": {"driver": driver, "volumeHandle": "v"}});
        let disk = Some(("disk/v".to_owned(), 64 << 20));
        assert_eq!(bounded(&volume(DISK_DRIVER)), disk);
        assert_eq!(bounded(&volume(FILE_DRIVER)), None);
        assert_eq!(bounded(&json!({"hostPath": {"path": "/x"}})), None);
    }

    #[test]
    fn removing_takes_that_share_only() {
        let shares = tempfile::tempdir().unwrap();
        let of = |name: &str| json!({"azureFile": {"shareName": name}});
        for name in ["a", "b"] {
            fs::create_dir_all(shares.path().join(directory(&of(name)).unwrap())).unwrap();
        }
        remove(shares.path(), &of("a")).unwrap();
        remove(shares.path(), &of("a")).unwrap();
        assert!(!shares.path().join("file/a").exists());
        assert!(shares.path().join("file/b").exists());
    }
}
