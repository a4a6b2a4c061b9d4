//! Writing objects: create, replace, patch.
//!
//! Every write goes the same way: the object is read by its type, completed
//! with defaults, checked, and only then stored. A dry run goes that way too,
//! on a copy of the store.

use std::sync::Arc;

use serde_json::{Value, json};

use super::custom::Definition;
use super::patch::Patch;
use super::status::ApiError;
use super::{allocate, manage, typed, validate};
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError, View, new_uid};
use crate::lab::{admission, defaults};

mod options;

use options::FieldValidation;
pub use options::Options;

/// How many names are tried for an object that leaves its name to the server.
const GENERATED_NAMES: u32 = 8;

/// What a write made, and what the server has to say about it.
#[derive(Debug)]
pub struct Written {
    /// The object as stored.
    pub object: Arc<Value>,
    /// Sentences for the person, sent as warning headers.
    pub warnings: Vec<String>,
}

/// Stores a new object.
///
/// # Errors
/// *400*, *403*, *404*, *409* and *422*, as the real server.
pub fn create(
    store: &Store,
    resource: Resource,
    namespace: Option<&str>,
    object: Value,
    options: &Options,
) -> Result<Written, ApiError> {
    let metadata = &object["metadata"];
    let named = !metadata["name"].as_str().unwrap_or_default().is_empty();
    if named || !metadata["generateName"].is_string() {
        return create_as(store, resource, namespace, object, options, true);
    }
    // Another name for one that is taken, as often as the real server tries.
    for _ in 1..GENERATED_NAMES {
        let object = object.clone();
        match create_as(store, resource, namespace, object, options, true) {
            Err(error) if error.reason == "AlreadyExists" => {}
            made => return made,
        }
    }
    create_as(store, resource, namespace, object, options, true)
}

/// As [`create`]; an applied object has its managers already.
fn create_as(
    store: &Store,
    resource: Resource,
    namespace: Option<&str>,
    object: Value,
    options: &Options,
    record: bool,
) -> Result<Written, ApiError> {
    let names = resource.names();
    if namespace.is_none() && names.namespaced {
        return Err(ApiError::method_not_allowed());
    }
    let definition = Definition::of(store, resource);
    let definition = definition.as_ref();
    if let Some(definition) = definition {
        definition.takes("create")?;
    }
    let (mut object, mut warnings) = read(resource, definition, object, options)?;
    check_namespace(&object, namespace)?;
    let metadata = &mut object["metadata"];
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    for ours in [
        "uid",
        "resourceVersion",
        "generation",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove(ours);
        }
    }
    if metadata["name"].as_str().unwrap_or_default().is_empty()
        && let Some(prefix) = metadata["generateName"].as_str()
    {
        metadata["name"] = json!(format!("{prefix}{}", crate::lab::random_suffix()));
    }
    metadata["uid"] = json!(new_uid());
    if resource.about().status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    fill(resource, definition, &mut object);
    let admitted = admission::admit(store, resource, &mut object);
    warnings.extend(validate::warnings(resource, &object));
    let mut errors = validate::new_object(resource, &object);
    if let Some(definition) = definition {
        errors.extend(definition.check(&object));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !errors.is_empty() {
        return Err(ApiError::invalid(resource, name, &errors));
    }
    if let Some(namespace) = namespace {
        check_namespace_takes(store, resource, namespace, name)?;
    }
    admitted.map_err(|why| ApiError::forbidden(resource, name, &why))?;
    let object = options
        .store(store)
        .create_with(resource, object, |object, view| {
            give_out(resource, object, None, view)?;
            if record {
                let place = manage::place(resource, definition);
                manage::record(resource, place, Part::Main, None, object, &options.manager);
            }
            Ok::<(), ApiError>(())
        })?;
    Ok(Written { object, warnings })
}

/// Fills in what an object leaves out.
fn fill(resource: Resource, definition: Option<&Definition>, object: &mut Value) {
    match definition {
        Some(definition) => definition.fill(object),
        None => defaults::fill(resource, object),
    }
}

/// Gives an object what no other has, and refuses what another has already.
fn give_out(
    resource: Resource,
    object: &mut Value,
    old: Option<&Value>,
    view: &View<'_>,
) -> Result<(), ApiError> {
    let errors = match resource {
        Resource::Services => allocate::service(object, old, view),
        _ => Vec::new(),
    };
    if errors.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(ApiError::invalid(resource, name, &errors))
}

/// Which part of an object a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the status.
    Main,
    /// The status only.
    Status,
    /// The number of replicas.
    Scale,
}

impl Part {
    /// Its name in paths and in managed fields; empty for the object itself.
    pub const fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }
}

/// Replaces an object.
///
/// # Errors
/// As [`create`], and *409* when somebody else was faster.
pub fn replace(
    store: &Store,
    key: &Key,
    part: Part,
    object: Value,
    options: &Options,
) -> Result<Written, ApiError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name != key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let namespace = Some(key.namespace.as_str()).filter(|it| !it.is_empty());
    check_namespace(&object, namespace)?;
    change(store, key, part, options, |current| {
        *current = object;
        Ok(())
    })
}

/// Patches an object.
///
/// # Errors
/// As [`replace`].
pub fn patch(
    store: &Store,
    key: &Key,
    part: Part,
    patch: &Patch,
    options: &Options,
) -> Result<Written, ApiError> {
    let definition = Definition::of(store, key.resource);
    if definition.is_some() && matches!(patch, Patch::Strategic(_)) {
        return Err(Patch::not_for_custom_kinds());
    }
    let place = manage::place(key.resource, definition.as_ref());
    change(store, key, part, options, |current| {
        patch.change(current, place)
    })
}

/// Applies what a manager wants; an object that is not there is created, which
/// the second value says.
///
/// # Errors
/// As [`create`], and *409* when fields belong to others.
pub fn apply(
    store: &Store,
    key: &Key,
    part: Part,
    config: &Value,
    force: bool,
    options: &Options,
) -> Result<(Written, bool), ApiError> {
    let mut config = config.clone();
    let metadata = &mut config["metadata"];
    for (field, value) in [("name", &key.name), ("namespace", &key.namespace)] {
        let given = metadata[field].as_str().unwrap_or_default();
        if given.is_empty() && !value.is_empty() {
            metadata[field] = json!(value);
        } else if given != value {
            return Err(ApiError::bad_request(format!(
                "the {field} of the object ({given}) does not match the {field} on the URL ({value})"
            )));
        }
    }
    let (resource, name) = (key.resource, &options.manager);
    let definition = Definition::of(store, resource);
    let place = manage::place(resource, definition.as_ref());
    if part == Part::Main && store.get(key).is_none() {
        let object = manage::apply(resource, place, part, None, &config, name, force)?;
        let namespace = Some(key.namespace.as_str()).filter(|it| !it.is_empty());
        match create_as(store, resource, namespace, object, options, false) {
            // Somebody was faster; then it is there now.
            Err(error) if error.reason == "AlreadyExists" => {}
            created => return Ok((created?, true)),
        }
    }
    let written = change_as(store, key, part, options, false, |current| {
        *current = manage::apply(resource, place, part, Some(current), &config, name, force)?;
        Ok(())
    })?;
    Ok((written, false))
}

/// Reads, changes, checks and writes, with no other write in between.
pub fn change(
    store: &Store,
    key: &Key,
    part: Part,
    options: &Options,
    edit: impl FnOnce(&mut Value) -> Result<(), ApiError>,
) -> Result<Written, ApiError> {
    change_as(store, key, part, options, true, edit)
}

/// As [`change`]; what was applied has its managers already.
fn change_as(
    store: &Store,
    key: &Key,
    part: Part,
    options: &Options,
    record: bool,
    edit: impl FnOnce(&mut Value) -> Result<(), ApiError>,
) -> Result<Written, ApiError> {
    let mut warnings = Vec::new();
    let definition = Definition::of(store, key.resource);
    let definition = definition.as_ref();
    let changed = options.store(store).update_seeing(key, |object, view| {
        let current = object.clone();
        edit(object)?;
        check_identity(key, &current, object)?;
        let (mut new, said) = read(key.resource, definition, object.take(), options)?;
        warnings = said;
        match part {
            Part::Status => {
                let (status, managers) = (
                    new["status"].take(),
                    new["metadata"]["managedFields"].take(),
                );
                new = current.clone();
                set_status(&mut new, status);
                if managers.is_array() {
                    new["metadata"]["managedFields"] = managers;
                }
            }
            Part::Main | Part::Scale => {
                settle(key, definition, &current, &mut new)?;
                if current["spec"] != new["spec"] {
                    warnings.extend(validate::warnings(key.resource, &new));
                }
                give_out(key.resource, &mut new, Some(&current), view)?;
            }
        }
        if record {
            manage::record(
                key.resource,
                manage::place(key.resource, definition),
                part,
                Some(&current),
                &mut new,
                &options.manager,
            );
        }
        *object = new;
        Ok::<(), ApiError>(())
    })?;
    Ok(Written {
        object: changed,
        warnings,
    })
}

/// Gives a replacement what clients cannot change, fills it in and checks it.
fn settle(
    key: &Key,
    definition: Option<&Definition>,
    current: &Value,
    new: &mut Value,
) -> Result<(), ApiError> {
    for kept in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        match current["metadata"].get(kept) {
            Some(value) => new["metadata"][kept] = value.clone(),
            None => {
                if let Some(metadata) = new["metadata"].as_object_mut() {
                    metadata.remove(kept);
                }
            }
        }
    }
    if key.resource.about().status {
        set_status(new, current["status"].clone());
    }
    fill(key.resource, definition, new);
    let mut errors = validate::replacement(key.resource, current, new);
    if let Some(definition) = definition {
        errors.extend(definition.check(new));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(key.resource, &key.name, &errors))
    }
}

/// Gives an object a status, or none.
fn set_status(object: &mut Value, status: Value) {
    if let Some(fields) = object.as_object_mut() {
        match status {
            Value::Null => fields.remove("status"),
            status => fields.insert("status".to_owned(), status),
        };
    }
}

fn check_identity(key: &Key, current: &Value, new: &Value) -> Result<(), ApiError> {
    let metadata = &new["metadata"];
    if let Some(rv) = metadata["resourceVersion"].as_str()
        && !rv.is_empty()
        && current["metadata"]["resourceVersion"] != rv
    {
        return Err(StoreError::Modified(key.clone()).into());
    }
    for field in ["name", "namespace", "uid"] {
        let given = &metadata[field];
        let absent = given.as_str().unwrap_or_default().is_empty();
        if !absent && *given != current["metadata"][field] {
            let mut error = ApiError::invalid(
                key.resource,
                &key.name,
                &[super::status::FieldError::invalid(
                    format!("metadata.{field}"),
                    given,
                    "field is immutable",
                )],
            );
            if field == "uid" {
                error = StoreError::Precondition(
                    key.clone(),
                    format!(
                        "UID in precondition: {}, UID in object meta: {}",
                        given.as_str().unwrap_or_default(),
                        current["metadata"]["uid"].as_str().unwrap_or_default()
                    ),
                )
                .into();
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Reads an object by its type, and says or refuses what the type does not have.
fn read(
    resource: Resource,
    definition: Option<&Definition>,
    mut object: Value,
    options: &Options,
) -> Result<(Value, Vec<String>), ApiError> {
    check_type(resource, &mut object)?;
    let typed = typed::decode(resource, definition, &object)?;
    let unknown: Vec<String> = typed
        .unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    match options.fields {
        FieldValidation::Strict if !unknown.is_empty() => Err(ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            resource.names().kind,
            resource.names().version,
            resource.names().kind,
            unknown.join(", ")
        ))),
        FieldValidation::Warn => Ok((typed.object, unknown)),
        FieldValidation::Strict | FieldValidation::Ignore => Ok((typed.object, Vec::new())),
    }
}

/// The object must be of the kind that the path names; it may leave that out.
fn check_type(resource: Resource, object: &mut Value) -> Result<(), ApiError> {
    let names = resource.names();
    let version = resource.api_version();
    let given = |field: &str| {
        let text = object[field].as_str().unwrap_or_default();
        text.to_owned()
    };
    let (given_version, given_kind) = (given("apiVersion"), given("kind"));
    if !given_version.is_empty() && given_version != version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({version})"
        )));
    }
    if !given_kind.is_empty() && given_kind != names.kind {
        return Err(ApiError::bad_request(format!(
            "{given_kind} in version \"{}\" cannot be handled as a {}: no kind \"{given_kind}\" is served here",
            names.version, names.kind
        )));
    }
    object["apiVersion"] = json!(version);
    object["kind"] = json!(names.kind);
    if object["metadata"].is_null() {
        object["metadata"] = json!({});
    }
    Ok(())
}

fn check_namespace(object: &Value, namespace: Option<&str>) -> Result<(), ApiError> {
    let given = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if given.is_empty() || Some(given) == namespace {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

fn check_namespace_takes(
    store: &Store,
    resource: Resource,
    namespace: &str,
    name: &str,
) -> Result<(), ApiError> {
    let found = store.get(&Key::new(Resource::Namespaces, "", namespace));
    let Some(found) = found else {
        return Err(ApiError::not_found(Resource::Namespaces, namespace));
    };
    if found["metadata"]["deletionTimestamp"].is_string() {
        return Err(ApiError::forbidden(
            resource,
            name,
            &format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            ),
        ));
    }
    Ok(())
}
