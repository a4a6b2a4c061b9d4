//! What an expression stands for, as of a deployment.

use serde_json::{Map, Value, json};

use super::functions;
use super::parse::{self, Expr};
use crate::lab::azure::answer::ArmError;
use crate::lab::azure::world::World;

/// Why there is no value.
#[derive(Debug)]
pub enum Stop {
    /// A resource is not there yet that the value is taken from.
    Pending(String),
    /// It is wrong.
    Error(ArmError),
}

impl From<ArmError> for Stop {
    fn from(error: ArmError) -> Self {
        Self::Error(error)
    }
}

/// An error of a template.
pub fn invalid(message: &str) -> ArmError {
    ArmError::bad(
        "InvalidTemplate",
        format!(
            "Unable to process template language expressions: '{message}'. Please see https://aka.ms/arm-functions for usage details."
        ),
    )
}

/// What expressions see.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The world.
    pub world: &'a World,
    /// Id of the resource group.
    pub group: &'a str,
    /// Name of the deployment.
    pub name: &'a str,
    /// The template.
    pub template: &'a Value,
    /// Values of its parameters.
    pub parameters: &'a Map<String, Value>,
    /// Ids of its resources by symbolic name, by name and by id, and whether
    /// each is ready.
    pub known: &'a [(String, String, bool)],
    /// The loops that the expression is in, the innermost last.
    pub copies: &'a [(String, u64)],
    /// Whether values may be taken from resources. What-if cannot.
    pub live: bool,
}

impl Frame<'_> {
    /// A value of a template with all expressions in it replaced. Where values
    /// cannot be taken from resources, those expressions stay.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn evaluate(&self, value: &Value) -> Result<Value, Stop> {
        match value {
            Value::String(text) => match parse::expression(text) {
                None => Ok(json!(parse::plain(text))),
                Some(expr) => {
                    let expr = expr.map_err(|error| invalid(&format!("{error}: {text}")))?;
                    match self.run(&expr) {
                        Err(Stop::Pending(_)) if !self.live => Ok(value.clone()),
                        result => result,
                    }
                }
            },
            Value::Array(items) => items.iter().map(|it| self.evaluate(it)).collect(),
            Value::Object(fields) => self.object(fields),
            other => Ok(other.clone()),
        }
    }

    fn object(&self, fields: &Map<String, Value>) -> Result<Value, Stop> {
        let mut made = Map::new();
        for (name, value) in fields {
            let loops = value
                .as_array()
                .filter(|it| name == "copy" && it.iter().all(|it| !it["input"].is_null()));
            if let Some(loops) = loops {
                for each in loops {
                    let name = each["name"].as_str().unwrap_or_default();
                    made.insert(name.to_owned(), self.repeat(name, each)?);
                }
                continue;
            }
            let name = self.evaluate(&json!(name))?;
            let name = name.as_str().unwrap_or_default().to_owned();
            made.insert(name, self.evaluate(value)?);
        }
        Ok(Value::Object(made))
    }

    fn repeat(&self, name: &str, each: &Value) -> Result<Value, Stop> {
        let count = self.count(&each["count"])?;
        let mut items = Vec::new();
        for index in 0..count {
            let mut copies = self.copies.to_vec();
            copies.push((name.to_owned(), index));
            let frame = Frame {
                copies: &copies,
                ..*self
            };
            items.push(frame.evaluate(&each["input"])?);
        }
        Ok(Value::Array(items))
    }

    /// How often a loop runs.
    ///
    /// # Errors
    /// When it is no number, or too large.
    pub fn count(&self, count: &Value) -> Result<u64, Stop> {
        let count = self.evaluate(count)?;
        let fine = count.as_u64().filter(|it| *it <= 800);
        fine.ok_or_else(|| {
            invalid(&format!(
                "the count of a copy loop must be a number from 0 to 800, not {count}"
            ))
            .into()
        })
    }

    /// What an expression stands for.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn run(&self, expr: &Expr) -> Result<Value, Stop> {
        match expr {
            Expr::Text(text) => Ok(json!(text)),
            Expr::Number(number) => Ok(json!(number)),
            Expr::Call(name, arguments) => functions::call(self, name, arguments),
            Expr::Member(of, name) => {
                let of = self.run(of)?;
                let name = self.run(name)?;
                member(&of, &name).ok_or_else(|| {
                    invalid(&format!("The language expression property {name} doesn't exist, available properties are '{}'", names(&of))).into()
                })
            }
        }
    }
}

/// A part of a value; names are compared without regard to case.
fn member(of: &Value, name: &Value) -> Option<Value> {
    match (of, name) {
        (Value::Array(items), Value::Number(at)) => items.get(at.as_u64()? as usize).cloned(),
        (Value::Object(fields), Value::String(name)) => {
            let exact = fields.get(name);
            let found = exact.or_else(|| {
                fields
                    .iter()
                    .find(|(it, _)| it.eq_ignore_ascii_case(name))
                    .map(|it| it.1)
            });
            found.cloned()
        }
        _ => None,
    }
}

fn names(of: &Value) -> String {
    let fields = of.as_object().into_iter().flatten();
    fields
        .map(|(name, _)| name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
