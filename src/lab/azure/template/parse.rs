//! The language of expressions in templates.

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// `'text'`
    Text(String),
    /// `42`
    Number(i64),
    /// `name(…)`
    Call(String, Vec<Expr>),
    /// `a.b` and `a[b]`
    Member(Box<Expr>, Box<Expr>),
}

/// The expression that a string of a template is; none if it is plain text.
///
/// # Errors
/// What is wrong with it.
pub fn expression(text: &str) -> Option<Result<Expr, String>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    if inner.starts_with('[') {
        return None;
    }
    let mut reader = Reader { rest: inner };
    Some(reader.whole())
}

/// Text as it is meant: two brackets in front stand for one.
pub fn plain(text: &str) -> &str {
    if text.starts_with("[[") {
        &text[1..]
    } else {
        text
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn whole(&mut self) -> Result<Expr, String> {
        let expr = self.expr(0)?;
        self.skip();
        if self.rest.is_empty() {
            Ok(expr)
        } else {
            Err(format!(
                "expected the end of the expression, found '{}'",
                self.rest
            ))
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, letter: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(letter) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expr(&mut self, depth: usize) -> Result<Expr, String> {
        if depth > 64 {
            return Err("the expression is nested too deeply".to_owned());
        }
        let mut expr = self.primary(depth)?;
        loop {
            if self.take('.') {
                let name = self.word();
                if name.is_empty() {
                    return Err("a name is missing behind '.'".to_owned());
                }
                expr = Expr::Member(Box::new(expr), Box::new(Expr::Text(name)));
            } else if self.take('[') {
                let index = self.expr(depth + 1)?;
                if !self.take(']') {
                    return Err("']' is missing".to_owned());
                }
                expr = Expr::Member(Box::new(expr), Box::new(index));
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Expr, String> {
        self.skip();
        if self.rest.starts_with('\'') {
            return self.text().map(Expr::Text);
        }
        if self
            .rest
            .starts_with(|it: char| it.is_ascii_digit() || it == '-')
        {
            let end = self.rest[1..].find(|it: char| !it.is_ascii_digit());
            let end = end.map_or(self.rest.len(), |it| it + 1);
            let (number, rest) = self.rest.split_at(end);
            self.rest = rest;
            let number = number
                .parse()
                .map_err(|_| format!("'{number}' is no number"));
            return number.map(Expr::Number);
        }
        let name = self.word();
        if name.is_empty() {
            return Err(format!("an expression is expected at '{}'", self.rest));
        }
        if !self.take('(') {
            return Err(format!("'(' is missing behind '{name}'"));
        }
        let mut arguments = Vec::new();
        if self.take(')') {
            return Ok(Expr::Call(name, arguments));
        }
        loop {
            arguments.push(self.expr(depth + 1)?);
            if self.take(')') {
                return Ok(Expr::Call(name, arguments));
            }
            if !self.take(',') {
                return Err(format!("',' or ')' is missing at '{}'", self.rest));
            }
        }
    }

    /// Letters and digits; functions of one's own have a dot in their names,
    /// which no template here has.
    fn word(&mut self) -> String {
        self.skip();
        let end = self
            .rest
            .find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    /// Text in quotes; two of them stand for one.
    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1).peekable();
        while let Some((at, letter)) = letters.next() {
            if letter != '\'' {
                text.push(letter);
            } else if letters.peek().is_some_and(|(_, next)| *next == '\'') {
                text.push('\'');
                letters.next();
            } else {
                self.rest = &self.rest[at + 1..];
                return Ok(text);
            }
        }
        Err("the text has no end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Expr {
        expression(text).unwrap().unwrap()
    }

    #[test]
    fn expressions_are_calls_texts_numbers_and_members() {
        let call = |name: &str, arguments| Expr::Call(name.to_owned(), arguments);
        let text = |it: &str| Expr::Text(it.to_owned());
        assert_eq!(
            parsed("[concat('it''s ', parameters('a') , -3)]"),
            call(
                "concat",
                vec![
                    text("it's "),
                    call("parameters", vec![text("a")]),
                    Expr::Number(-3)
                ]
            )
        );
        let member = |of: Expr, name: Expr| Expr::Member(Box::new(of), Box::new(name));
        assert_eq!(
            parsed("[reference('x').identityProfile.kubeletidentity.objectId]"),
            member(
                member(
                    member(call("reference", vec![text("x")]), text("identityProfile")),
                    text("kubeletidentity")
                ),
                text("objectId")
            )
        );
        assert_eq!(
            parsed("[parameters('shares')[copyIndex()].name]"),
            member(
                member(
                    call("parameters", vec![text("shares")]),
                    call("copyIndex", vec![])
                ),
                text("name")
            )
        );
    }

    #[test]
    fn what_is_no_expression_is_text_and_what_is_a_bad_one_is_said() {
        assert_eq!(expression("plain"), None);
        assert_eq!(expression("[[escaped]"), None);
        assert_eq!(plain("[[escaped]"), "[escaped]");
        for bad in [
            "[]",
            "[concat('a']",
            "[concat('a)]",
            "[a b]",
            "[x().]",
            "[f(1) 2]",
            "[f(1]]",
        ] {
            assert!(expression(bad).unwrap().is_err(), "{bad}");
        }
    }
}
