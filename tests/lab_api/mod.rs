mod client;
mod containers;
mod life;
mod objects;
mod watches;
