//! The engine of Farerush: what a flight may do ([`flight`]), the actor that does it ([`actor`]), and the port to
//! what makes its events durable ([`journal`]).

pub mod actor;
pub mod flight;
pub mod journal;
pub mod meters;
