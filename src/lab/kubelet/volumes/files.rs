//! Volumes that are made of other things: config maps, secrets, fields of the
//! pod, and several of these in one directory.
//!
//! A change of the source reaches a running container, all at once: files are
//! links through `..data`, a link to a directory that is replaced as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath, Pod,
    ProjectedVolumeSource, SecretVolumeSource, Volume, VolumeProjection,
};

use crate::lab::kubelet::downward::{self, Surroundings};
use crate::lab::kubelet::sources::{Data, Kind, Sources};

/// Mode of files when nothing is said; the real default.
const USUAL_MODE: i32 = 0o644;

/// The link to the directory that holds the files now.
const DATA: &str = "..data";

/// A file to be: its content and its mode.
type File = (Vec<u8>, i32);

/// The files of a volume, by their path in it.
pub(in crate::lab::kubelet) type Files = BTreeMap<PathBuf, File>;

/// Where the content of such volumes comes from.
#[derive(Debug, Clone, Copy)]
pub(in crate::lab::kubelet) struct Origin<'a> {
    pub pod: &'a Pod,
    pub sources: Sources<'a>,
    pub around: &'a Surroundings,
}

impl Origin<'_> {
    /// The files of a volume; none when it is of another kind.
    ///
    /// # Errors
    /// What is missing, in the real kubelet's words.
    pub fn files(&self, volume: &Volume) -> Option<Result<Files, String>> {
        if let Some(map) = &volume.config_map {
            return Some(self.config_map(map));
        }
        if let Some(secret) = &volume.secret {
            return Some(self.secret(secret));
        }
        if let Some(downward) = &volume.downward_api {
            return Some(self.downward(downward));
        }
        volume.projected.as_ref().map(|it| self.projected(it))
    }

    fn config_map(&self, map: &ConfigMapVolumeSource) -> Result<Files, String> {
        let mode = map.default_mode.unwrap_or(USUAL_MODE);
        self.data(
            Kind::ConfigMap,
            &map.name,
            map.items.as_deref(),
            map.optional,
            mode,
        )
    }

    fn secret(&self, secret: &SecretVolumeSource) -> Result<Files, String> {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let mode = secret.default_mode.unwrap_or(USUAL_MODE);
        self.data(
            Kind::Secret,
            name,
            secret.items.as_deref(),
            secret.optional,
            mode,
        )
    }

    fn downward(&self, volume: &DownwardAPIVolumeSource) -> Result<Files, String> {
        let mode = volume.default_mode.unwrap_or(USUAL_MODE);
        let items = volume.items.iter().flatten();
        items.map(|item| self.item(item, mode)).collect()
    }

    fn projected(&self, volume: &ProjectedVolumeSource) -> Result<Files, String> {
        let mode = volume.default_mode.unwrap_or(USUAL_MODE);
        let mut files = Files::new();
        for source in volume.sources.iter().flatten() {
            files.extend(self.projection(source, mode)?);
        }
        Ok(files)
    }

    fn projection(&self, source: &VolumeProjection, mode: i32) -> Result<Files, String> {
        if let Some(map) = &source.config_map {
            return self.data(
                Kind::ConfigMap,
                &map.name,
                map.items.as_deref(),
                map.optional,
                mode,
            );
        }
        if let Some(secret) = &source.secret {
            let items = secret.items.as_deref();
            return self.data(Kind::Secret, &secret.name, items, secret.optional, mode);
        }
        let items = source
            .downward_api
            .iter()
            .flat_map(|it| it.items.iter().flatten());
        items.map(|item| self.item(item, mode)).collect()
    }

    fn data(
        &self,
        kind: Kind,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: i32,
    ) -> Result<Files, String> {
        let Some(data) = self.sources.data(kind, name, optional)? else {
            return Ok(Files::new());
        };
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            let file = |(name, content)| (PathBuf::from(name), (content, mode));
            return Ok(data.into_iter().map(file).collect());
        };
        chosen(data, items, mode, optional == Some(true))
    }

    fn item(&self, item: &DownwardAPIVolumeFile, mode: i32) -> Result<(PathBuf, File), String> {
        let text = if let Some(field) = &item.field_ref {
            let path = &field.field_path;
            downward::field(self.pod, path, self.around)
                .ok_or_else(|| format!("unsupported fieldPath: {path}"))?
        } else if let Some(selector) = &item.resource_field_ref {
            downward::resource(self.pod, "", selector, self.around)?
        } else {
            String::new()
        };
        let mode = item.mode.unwrap_or(mode);
        Ok((PathBuf::from(&item.path), (text.into_bytes(), mode)))
    }
}

fn chosen(mut data: Data, items: &[KeyToPath], mode: i32, optional: bool) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        match data.get_mut(&item.key) {
            Some(content) => {
                let mode = item.mode.unwrap_or(mode);
                files.insert(PathBuf::from(&item.path), (content.clone(), mode));
            }
            None if optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(files)
}

/// Puts files into a volume's directory, all at once; does nothing when they
/// are what is there.
///
/// # Errors
/// What the disk says, or that a path leads out of the volume.
pub(in crate::lab::kubelet) fn write(directory: &Path, files: &Files) -> io::Result<()> {
    for path in files.keys() {
        let plain = |part| matches!(part, Component::Normal(_));
        if !path.components().all(plain) || path.starts_with(DATA) {
            let why = format!("{} is no path in a volume", path.display());
            return Err(io::Error::other(why));
        }
    }
    fs::create_dir_all(directory)?;
    let current = directory.join(DATA);
    if holds(&current, files) {
        return Ok(());
    }
    let before = fs::read_link(&current).ok();
    let fresh = format!("..{:016x}", fastrand::u64(..));
    for (path, (content, mode)) in files {
        let file = directory.join(&fresh).join(path);
        fs::create_dir_all(file.parent().unwrap_or(directory))?;
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(*mode as u32))?;
    }
    fs::create_dir_all(directory.join(&fresh))?;
    let next = directory.join("..data_tmp");
    let _ = fs::remove_file(&next);
    symlink(&fresh, &next)?;
    fs::rename(next, &current)?;
    link(directory, files)?;
    if let Some(before) = before {
        // It takes room, no more.
        let _ = fs::remove_dir_all(directory.join(before));
    }
    Ok(())
}

/// Whether the directory holds exactly these files.
fn holds(directory: &Path, files: &Files) -> bool {
    let mut found = 0;
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(directory) else {
            return false;
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => found += 1,
            }
        }
    }
    found == files.len()
        && files.iter().all(|(path, (content, _))| {
            fs::read(directory.join(path)).ok().as_ref() == Some(content)
        })
}

/// Makes the links that a container sees, and removes those of files that are
/// gone.
fn link(directory: &Path, files: &Files) -> io::Result<()> {
    let first = |path: &PathBuf| path.components().next().map(|it| it.as_os_str().to_owned());
    let wanted: Vec<_> = files.keys().filter_map(first).collect();
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("..") && !wanted.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    for name in wanted {
        match symlink(Path::new(DATA).join(&name), directory.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str, i32)]) -> Files {
        list.iter()
            .map(|(path, text, mode)| (PathBuf::from(path), (text.as_bytes().to_vec(), *mode)))
            .collect()
    }

    #[test]
    fn files_are_replaced_all_at_once() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("v");
        let first = files(&[("a", "1", 0o644), ("deep/b", "2", 0o400)]);
        write(&directory, &first).unwrap();
        let read = |path: &str| fs::read_to_string(directory.join(path)).unwrap();
        assert_eq!((read("a"), read("deep/b")), ("1".into(), "2".into()));
        let mode = fs::metadata(directory.join("deep/b"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o400);
        let before = fs::read_link(directory.join(DATA)).unwrap();
        write(&directory, &first).unwrap();
        assert_eq!(fs::read_link(directory.join(DATA)).unwrap(), before);
        write(&directory, &files(&[("a", "3", 0o644)])).unwrap();
        assert_eq!(read("a"), "3");
        assert!(fs::symlink_metadata(directory.join("deep")).is_err());
        let left: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
        assert_eq!(left.len(), 3, "{left:?}");
        write(&directory, &Files::new()).unwrap();
        assert!(directory.join(DATA).is_dir());
    }

    #[test]
    fn no_path_leads_out() {
        let home = tempfile::tempdir().unwrap();
        for path in ["../x", "/x", "a/../../x", "..data/x"] {
            assert!(
                write(home.path(), &files(&[(path, "", 0)])).is_err(),
                "{path}"
            );
        }
    }
}
