//! Conditions: what an object's status says of it, and since when.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::lab::store::timestamp;

/// The condition of a type.
pub fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == kind)
}

/// Since when the condition of a type has a value (`True`), if it has it.
pub fn since<'a>(status: &'a Value, kind: &str, value: &str) -> Option<&'a str> {
    let found = find(status, kind).filter(|it| it["status"] == value)?;
    found["lastTransitionTime"].as_str()
}

/// Writes a condition. Its time is kept while its value stays; one that says
/// nothing new stays as it is.
pub fn put(status: &mut Value, condition: &Value) {
    let mut all = match status["conditions"].take() {
        Value::Array(all) => all,
        _ => Vec::new(),
    };
    let place = all.iter().position(|it| it["type"] == condition["type"]);
    let known = place.map(|place| &all[place]);
    let same = |field: &str| known.is_some_and(|it| it[field] == condition[field]);
    if !["status", "reason", "message", "observedGeneration"]
        .into_iter()
        .all(same)
    {
        let mut new = condition.clone();
        new["lastTransitionTime"] = match known {
            Some(known) if same("status") => known["lastTransitionTime"].clone(),
            _ => json!(timestamp(Timestamp::now())),
        };
        match place {
            Some(place) => all[place] = new,
            None => all.push(new),
        }
    }
    status["conditions"] = Value::Array(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_value_stays() {
        let mut status = json!({"conditions": [{"type": "A", "status": "True",
            "reason": "R", "message": "m", "lastTransitionTime": "2020-01-01T00:00:00Z"}]});
        let before = status.clone();
        put(
            &mut status,
            &json!({"type": "A", "status": "True", "reason": "R", "message": "m"}),
        );
        assert_eq!(status, before);
        put(
            &mut status,
            &json!({"type": "A", "status": "True", "reason": "S", "message": "m"}),
        );
        assert_eq!(since(&status, "A", "True"), Some("2020-01-01T00:00:00Z"));
        put(
            &mut status,
            &json!({"type": "A", "status": "False", "reason": "S", "message": "m"}),
        );
        assert_eq!(since(&status, "A", "True"), None);
        assert_ne!(
            find(&status, "A").unwrap()["lastTransitionTime"],
            "2020-01-01T00:00:00Z"
        );
    }
}
