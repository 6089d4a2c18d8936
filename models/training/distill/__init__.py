"""Knowledge distillation: a narrow MNAD learns from a wide one."""
