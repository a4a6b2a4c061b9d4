//! Resource ids: what they name, compared without regard to case.

/// An id as a key.
pub fn key(id: &str) -> String {
    let mut key = id.trim_end_matches('/').to_ascii_lowercase();
    if !key.starts_with('/') {
        key.insert(0, '/');
    }
    key
}

/// The resource group of an id, if it is in one.
pub fn group(id: &str) -> Option<&str> {
    after(id, "resourcegroups")
}

/// The subscription of an id, if it is in one.
pub fn subscription(id: &str) -> Option<&str> {
    after(id, "subscriptions")
}

/// The segment behind the first one of a name.
fn after<'a>(id: &'a str, name: &str) -> Option<&'a str> {
    let mut segments = id.split('/');
    segments.find(|it| it.eq_ignore_ascii_case(name))?;
    segments.next()
}

/// The part behind the last `/providers/`.
fn of_provider(id: &str) -> &str {
    let mark = "/providers/";
    let last = id.to_ascii_lowercase().rfind(mark);
    last.map_or("", |at| &id[at + mark.len()..])
}

/// The type: namespace and the kinds that are nested in each other. A resource
/// group and a subscription have a type of their own.
pub fn kind(id: &str) -> String {
    let parts: Vec<&str> = of_provider(id).split('/').collect();
    if parts.len() < 2 {
        return if group(id).is_some() {
            "Microsoft.Resources/resourceGroups".to_owned()
        } else {
            "Microsoft.Resources/subscriptions".to_owned()
        };
    }
    let kinds = parts[1..].iter().step_by(2).copied();
    std::iter::once(parts[0])
        .chain(kinds)
        .collect::<Vec<_>>()
        .join("/")
}

/// The namespace of its provider; empty if it has none.
pub fn namespace(id: &str) -> &str {
    of_provider(id).split('/').next().unwrap_or_default()
}

/// The last segment.
pub fn name(id: &str) -> &str {
    id.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

/// Whether `id` is `scope` or below it.
pub fn is_below(id: &str, scope: &str) -> bool {
    let (id, scope) = (key(id), key(scope));
    scope == "/"
        || id == scope
        || id
            .strip_prefix(&scope)
            .is_some_and(|it| it.starts_with('/'))
}

/// What an extension resource, such as a lock or a role assignment, is about.
pub fn scope(id: &str) -> &str {
    let last = id.to_ascii_lowercase().rfind("/providers/");
    last.map_or(id, |at| if at == 0 { "/" } else { &id[..at] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/fileServices/default/shares/logs";

    #[test]
    fn an_id_says_what_it_names() {
        assert_eq!(
            kind(SHARE),
            "Microsoft.Storage/storageAccounts/fileServices/shares"
        );
        assert_eq!(
            (namespace(SHARE), group(SHARE), name(SHARE)),
            ("Microsoft.Storage", Some("g"), "logs")
        );
        assert_eq!(
            kind("/subscriptions/s"),
            "Microsoft.Resources/subscriptions"
        );
        assert_eq!(
            kind("/subscriptions/s/resourceGroups/g"),
            "Microsoft.Resources/resourceGroups"
        );
        let lock = format!("{SHARE}/providers/Microsoft.Authorization/locks/l");
        assert_eq!(
            (kind(&lock).as_str(), scope(&lock)),
            ("Microsoft.Authorization/locks", SHARE)
        );
    }

    #[test]
    fn below_is_a_matter_of_whole_segments() {
        assert!(is_below(SHARE, "/Subscriptions/S/resourcegroups/G/"));
        assert!(is_below(SHARE, SHARE));
        assert!(!is_below(SHARE, "/subscriptions/s/resourceGroups/gg"));
        assert!(!is_below(
            "/subscriptions/s/resourceGroups/gg",
            "/subscriptions/s/resourceGroups/g"
        ));
    }
}
