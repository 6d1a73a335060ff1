//! The conditions in rules: CEL, checked against what there is to ask before it ever runs.
//!
//! A condition is bounded by construction: a short text without loops (CEL's macros other than
//! `has` are refused) over values that are short themselves. Whatever still goes wrong when it
//! runs (a missing value, a division by zero) is an error of that rule and nobody else's.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::common::types::{CelBool, CelDouble, CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, Program, Value};

use super::moment::{Moment, Schema};
use crate::fact::{Fact, Type};

/// Longest condition, in bytes: a page of text is no condition, but a program.
const LONGEST: usize = 1_000;

/// Deepest nesting of brackets, and of what they and operators enclose.
const BRACKETS: usize = 16;
const DEEPEST: usize = 64;

/// The parser goes down with every bracket; with the bounds above this is ample.
const PARSER_STACK: usize = 16 << 20;

/// Marks the name of a fact that is only asked whether it is there.
const HAS: &str = "has ";

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition that was found sound.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    expression: IdedExpr,
}

/// What is wrong with a condition, and where in its text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    /// In bytes.
    pub(crate) at: usize,
    pub(crate) what: String,
}

/// The types of CEL that conditions can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Double,
    Int,
    Flag,
    Text,
    Texts,
    Doubles,
    Ints,
    Empty,
}

impl Condition {
    /// Compiles and checks `source` against what there is to ask.
    pub(crate) fn compile(source: &str, schema: &Schema) -> Result<Self, Wrong> {
        bounded(source)?;
        // On a stack of its own, so that no text can exhaust that of the caller.
        let checked = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .stack_size(PARSER_STACK)
                .spawn_scoped(scope, || check(source, schema))
                .map_or_else(
                    |error| Err(wrong(0, error)),
                    |thread| {
                        thread
                            .join()
                            .unwrap_or_else(|_| Err(wrong(0, "the parser cannot read this")))
                    },
                )
        });
        checked.map(|expression| Self { expression })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// When it asks for what is not there, divides by zero, or computes out of range.
    pub(crate) fn holds(&self, moment: &Moment<'_>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(moment);
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("the condition is neither true nor false".to_owned()),
            Err(cel::ExecutionError::UndeclaredReference(name)) => {
                Err(format!("{name} is not known: ask has({name}) first"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl VariableResolver for Moment<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(name) = name.strip_prefix(HAS) {
            return Some(CowVal::owned(CelBool::from(self.fact(name).is_some())));
        }
        Some(match self.fact(name)? {
            Fact::Number(number) => CowVal::owned(CelDouble::from(number)),
            Fact::Flag(flag) => CowVal::owned(CelBool::from(flag)),
            Fact::Text(text) => CowVal::owned(CelString::from(text)),
            Fact::Words { en, .. } => CowVal::owned(CelString::from(en)),
            Fact::Country(country) => CowVal::owned(CelString::from(country.code().to_owned())),
            Fact::Countries(countries) => {
                let codes: Vec<Box<dyn Val + 'b>> = countries
                    .iter()
                    .map(|country| Box::new(CelString::from(country.code())) as Box<dyn Val>)
                    .collect();
                CowVal::owned(CelList::from(codes))
            }
        })
    }
}

fn wrong(at: usize, what: impl ToString) -> Wrong {
    Wrong { at, what: what.to_string() }
}

fn bounded(source: &str) -> Result<(), Wrong> {
    if source.len() > LONGEST {
        return Err(wrong(
            LONGEST,
            format!("the condition is longer than {LONGEST} bytes: split the rule"),
        ));
    }
    let mut open = 0_usize;
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > BRACKETS {
            return Err(wrong(
                at,
                format!("more than {BRACKETS} brackets within each other: write it plainer"),
            ));
        }
    }
    Ok(())
}

fn check(source: &str, schema: &Schema) -> Result<IdedExpr, Wrong> {
    let program = Program::compile(source).map_err(|errors| {
        let Some(error) = errors.errors.first() else { return wrong(0, "is no condition") };
        let (line, column) = (error.pos.0.max(1) as usize - 1, error.pos.1.max(1) as usize - 1);
        let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
        wrong((before + column).min(source.len()), format!("is no CEL: {}", error.msg))
    })?;
    let mut expression = program.expression().clone();
    let checker = Checker { schema, info: program.source_info() };
    match checker.walk(&mut expression, DEEPEST)? {
        Of::Flag => Ok(expression),
        other => Err(wrong(0, format!("gives {}, not true or false", other.name()))),
    }
}

struct Checker<'a> {
    schema: &'a Schema,
    info: &'a SourceInfo,
}

impl Checker<'_> {
    /// Finds the type, and puts plain names in the place of selections: `event.to` is then one
    /// look-up.
    fn walk(&self, expression: &mut IdedExpr, deeper: usize) -> Result<Of, Wrong> {
        let at = self.info.offset_for(expression.id).map_or(0, |(start, _)| start as usize);
        let Some(deeper) = deeper.checked_sub(1) else {
            return Err(wrong(at, "the condition is nested too deep: split the rule"));
        };
        match &mut expression.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Ok(Of::Flag),
                LiteralValue::Double(_) => Ok(Of::Double),
                LiteralValue::Int(_) => Ok(Of::Int),
                LiteralValue::String(_) => Ok(Of::Text),
                _ => Err(wrong(at, "write numbers, 'texts', true or false")),
            },
            Expr::Select(select) => {
                let (name, of) = self.select(select, at)?;
                expression.expr = Expr::Ident(name);
                Ok(of)
            }
            Expr::Ident(name) => Err(wrong(at, self.schema.unknown(name))),
            Expr::List(list) => {
                let mut of = Of::Empty;
                for element in &mut list.elements {
                    let each = match self.walk(element, deeper)? {
                        Of::Text => Of::Texts,
                        Of::Double => Of::Doubles,
                        Of::Int => Of::Ints,
                        other => {
                            return Err(wrong(at, format!("{} cannot be in a list", other.name())));
                        }
                    };
                    if of != Of::Empty && of != each {
                        return Err(wrong(at, "what is in a list must be of one type"));
                    }
                    of = each;
                }
                Ok(of)
            }
            Expr::Call(call) => self.call(call, at, deeper),
            Expr::Comprehension(_) => {
                Err(wrong(at, "conditions have no loops (all, exists, filter, map): ask with `in`"))
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(wrong(at, "conditions know no maps: compare single values"))
            }
        }
    }

    fn select(&self, select: &SelectExpr, at: usize) -> Result<(String, Of), Wrong> {
        let Expr::Ident(root) = &select.operand.expr else {
            return Err(wrong(at, "names have two parts, as in event.to"));
        };
        let name = format!("{root}.{}", select.field);
        let Some(found) = self.schema.type_of(&name) else {
            return Err(wrong(at, self.schema.unknown(&name)));
        };
        if select.test {
            return Ok((format!("{HAS}{name}"), Of::Flag));
        }
        let of = match found {
            Type::Number => Of::Double,
            Type::Flag => Of::Flag,
            Type::Text => Of::Text,
            Type::Texts => Of::Texts,
        };
        Ok((name, of))
    }

    fn call(&self, call: &mut CallExpr, at: usize, deeper: usize) -> Result<Of, Wrong> {
        let target = match &mut call.target {
            Some(target) => Some(self.walk(target, deeper)?),
            None => None,
        };
        let mut of = Vec::with_capacity(call.args.len());
        for argument in &mut call.args {
            of.push(self.walk(argument, deeper)?);
        }
        use Of::{Double, Doubles, Empty, Flag, Int, Ints, Text, Texts};
        let number = |of: &Of| matches!(of, Double | Int);
        let found = match (call.func_name.as_str(), target, of.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, [Flag, Flag])
            | (operators::LOGICAL_NOT, None, [Flag]) => Some(Flag),
            (operators::EQUALS | operators::NOT_EQUALS, None, [a, b])
                if a == b || number(a) && number(b) =>
            {
                Some(Flag)
            }
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                None,
                [a, b],
            ) if number(a) && number(b) || (*a, *b) == (Text, Text) => Some(Flag),
            (
                operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE,
                None,
                [a, b],
            ) if a == b && number(a) => Some(*a),
            (operators::MODULO, None, [Int, Int]) => Some(Int),
            (operators::ADD, None, [Text, Text]) => Some(Text),
            (operators::NEGATE, None, [a]) if number(a) => Some(*a),
            (operators::CONDITIONAL, None, [Flag, a, b]) if a == b => Some(*a),
            (
                operators::IN,
                None,
                [Text, Texts | Empty] | [Double, Doubles | Ints] | [Int, Ints],
            ) => Some(Flag),
            ("startsWith" | "endsWith" | "contains", Some(Text), [Text]) => Some(Flag),
            ("size", None, [Text | Texts | Doubles | Ints | Empty])
            | ("size", Some(Text | Texts), []) => Some(Int),
            ("double", None, [Int | Double]) => Some(Double),
            _ => None,
        };
        found.ok_or_else(|| {
            let types: Vec<&str> = target.iter().chain(&of).map(|of| of.name()).collect();
            let function = call.func_name.trim_matches(['_', '@']);
            wrong(
                at,
                format!("`{function}` cannot be used with {}{}", types.join(" and "), advice(&of)),
            )
        })
    }
}

fn advice(of: &[Of]) -> &'static str {
    if of.contains(&Of::Int) && of.contains(&Of::Double) { ": write 1.0 for 1" } else { "" }
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Self::Double => Type::Number.name(),
            Self::Int => "a whole number",
            Self::Flag => Type::Flag.name(),
            Self::Text => Type::Text.name(),
            Self::Texts => Type::Texts.name(),
            Self::Doubles | Self::Ints => "a list of numbers",
            Self::Empty => "an empty list",
        }
    }
}
