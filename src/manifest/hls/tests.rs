mod fixtures;
mod lossless;
mod media;
mod multivariant;
