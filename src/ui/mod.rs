//! The screen: pictures of a [`Model`](crate::core::model::Model) and the way
//! from keys to actions.
//!
//! Nothing here changes what is known or asks the world for anything. A
//! [`view::View`] turns the model and the state of the screen into cells, and
//! says where on the screen it put things; a [`keymap::Keymap`] turns keys into
//! [actions](crate::core::action::Action); a [`theme::Theme`] says what a
//! meaning looks like. Keymaps and themes are data that anyone may replace, so
//! their mistakes are answered with the place and the nearest right word.

pub mod config;
pub mod format;
pub mod glyphs;
pub mod keymap;
pub mod theme;
pub mod view;
