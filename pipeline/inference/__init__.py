"""From images to label maps on their own grid."""
