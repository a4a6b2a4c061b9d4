//! A new `aks-tui.yaml`, every key with its meaning.

use std::fmt::Write as _;

use serde_json::Value;

use super::fields::{self, Field, Kind};
use crate::core::azure::settings::Settings;

/// Where editors find the schema, beside a checkout.
const SCHEMA: &str = "assets/aks-tui.schema.json";

/// The file that says `settings`, with a comment at each key.
pub fn commented(settings: &Settings) -> String {
    let values = serde_json::to_value(settings).unwrap_or_default();
    let mut text = format!(
        "# What aks-tui has in Azure. Names are checked when the file is read.\n\
         # Every key has a default except the names. Editors: {SCHEMA}.\n"
    );
    for field in fields::below("") {
        let _ = writeln!(text, "\n# {}\n{}:", field.about, field.key());
        section(&mut text, field.path, &values[field.key()], 1);
    }
    text
}

fn section(text: &mut String, path: &str, values: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    for field in fields::below(path) {
        let value = &values[field.key()];
        let _ = writeln!(text, "{indent}# {}{}", field.about, formerly(field));
        match field.kind {
            Kind::Section => {
                let _ = writeln!(text, "{indent}{}:", field.key());
                section(text, field.path, value, depth + 1);
            }
            Kind::List => {
                let _ = writeln!(text, "{indent}{}:", field.key());
                for element in value.as_array().into_iter().flatten() {
                    list_element(text, &indent, element);
                }
            }
            _ => {
                // JSON is YAML: quoting is the one place where the two could differ.
                let _ = writeln!(text, "{indent}{}: {value}", field.key());
            }
        }
    }
}

fn list_element(text: &mut String, indent: &str, element: &Value) {
    for (index, (key, value)) in element.as_object().into_iter().flatten().enumerate() {
        let mark = if index == 0 { "- " } else { "  " };
        let _ = writeln!(text, "{indent}  {mark}{key}: {value}");
    }
}

fn formerly(field: &Field) -> String {
    field
        .variable
        .map_or_else(String::new, |variable| format!(" ({variable})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::parse;

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        let mut settings = Settings::default();
        settings.azure.resource_group = "xyz-group".to_owned();
        settings
            .azure
            .tags
            .insert("who: and \"why\"".to_owned(), "yes".to_owned());
        settings.cluster.name = "xyz-cluster".to_owned();
        settings.cluster.kubernetes_version = "1.30".to_owned();
        settings.storage.account = "xyzstorage".to_owned();
        let mut second = settings.storage.shares[0].clone();
        second.name = "another".to_owned();
        settings.storage.shares.push(second);
        settings.registry.name = "xyzcontainerreg".to_owned();
        let text = commented(&settings);
        assert_eq!(parse("new", &text).unwrap(), settings, "{text}");
        for field in fields::FIELDS
            .iter()
            .filter(|field| !field.path.contains('*'))
        {
            assert!(text.contains(field.about), "{}", field.path);
        }
    }
}
