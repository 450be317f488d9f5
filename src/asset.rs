//! Kinds of objects: what an extension says about type, lifetime and way of filling. Pure.
