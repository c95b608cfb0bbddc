// SPDX-License-Identifier: MIT OR Apache-2.0

//! The claims, a file each.

mod a01_one_memory;
mod a02_vmalloc_pages;
mod a03_insert_slab;
mod a04_memory_types;
mod a05_guards;
mod a06_vmas;
mod a07_maple_tree;
mod a08_faults;
mod a09_lazy;
mod b01_kmalloc_contiguous;
mod b02_vmalloc_scattered;
mod b03_kmalloc_sizes;
mod b04_kmalloc_limit;
mod b05_kmalloc_zero;
mod b06_kzalloc_krealloc;
mod b07_gfp_flags;
mod b08_cost;
mod b09_buddy;
mod b10_orders;
mod b11_migrate_types;
mod b12_slub_free_list;
mod b13_slab_slub_slob;
mod b14_kmem_cache;
mod b15_layers;
mod b16_watermarks;
mod b17_leak;
mod b18_kernel_stack;
mod b19_per_cpu;
mod b20_numa;
mod b21_memory_cgroup;
mod b22_wrong_frees;
mod c01_page_table_levels;
mod c02_huge_pages;
mod c03_kernel_layout;
mod c04_virt_to_phys;
mod c05_arm_page_offset;
mod c06_high_memory;
mod c07_struct_page;
mod c08_tlb;
mod c09_isolation;
mod c10_sections;
mod c11_arm64_pages;
mod c12_arm_kernel_space;
mod c13_arm_struct_page;
mod c14_frame_warn;
mod d01_copy_on_write;
mod d02_lru_lists;
mod d03_writeback;
mod d04_swap;
mod d05_huge_pages;
mod d06_oom_killer;
mod d07_names;
mod d08_lazy_malloc;
mod d09_isolation_of_processes;
mod d10_stack_and_heap;
mod d11_page_cache;
mod d12_writeback;
mod d13_compaction;
mod d14_mmap_lock;
mod d15_context_switch;
mod d16_boot_memory;
mod e01_coherent;
mod e02_streaming;
mod e03_three_addresses;
mod e04_iommu_stops;
mod e05_vmalloc;
mod e06_readl_writel;
mod e07_am335x_addresses;
mod e08_ioremap_kinds;
mod e09_iomem_vmallocinfo;
mod e10_vfio;
mod e11_ports;
mod f01_buddy;
mod f02_watermark;
mod f03_slub;
mod f04_walk;
mod f05_cow;
mod f06_lru;
mod f07_dma;
mod gpio;
mod model;

use crate::Claim;

/// All claims, in the order of their parts and numbers.
pub const CLAIMS: &[&Claim] = &[
    &a01_one_memory::CLAIM,
    &a02_vmalloc_pages::CLAIM,
    &a03_insert_slab::CLAIM,
    &a04_memory_types::CLAIM,
    &a05_guards::CLAIM,
    &a06_vmas::CLAIM,
    &a07_maple_tree::CLAIM,
    &a08_faults::CLAIM,
    &a09_lazy::CLAIM,
    &b01_kmalloc_contiguous::CLAIM,
    &b02_vmalloc_scattered::CLAIM,
    &b03_kmalloc_sizes::CLAIM,
    &b04_kmalloc_limit::CLAIM,
    &b05_kmalloc_zero::CLAIM,
    &b06_kzalloc_krealloc::CLAIM,
    &b07_gfp_flags::CLAIM,
    &b08_cost::CLAIM,
    &b09_buddy::CLAIM,
    &b10_orders::CLAIM,
    &b11_migrate_types::CLAIM,
    &b12_slub_free_list::CLAIM,
    &b13_slab_slub_slob::CLAIM,
    &b14_kmem_cache::CLAIM,
    &b15_layers::CLAIM,
    &b16_watermarks::CLAIM,
    &b17_leak::CLAIM,
    &b18_kernel_stack::CLAIM,
    &b19_per_cpu::CLAIM,
    &b20_numa::CLAIM,
    &b21_memory_cgroup::CLAIM,
    &b22_wrong_frees::CLAIM,
    &c01_page_table_levels::CLAIM,
    &c02_huge_pages::CLAIM,
    &c03_kernel_layout::CLAIM,
    &c04_virt_to_phys::CLAIM,
    &c05_arm_page_offset::CLAIM,
    &c06_high_memory::CLAIM,
    &c07_struct_page::CLAIM,
    &c08_tlb::CLAIM,
    &c09_isolation::CLAIM,
    &c10_sections::CLAIM,
    &c11_arm64_pages::CLAIM,
    &c12_arm_kernel_space::CLAIM,
    &c13_arm_struct_page::CLAIM,
    &c14_frame_warn::CLAIM,
    &d01_copy_on_write::CLAIM,
    &d02_lru_lists::CLAIM,
    &d03_writeback::CLAIM,
    &d04_swap::CLAIM,
    &d05_huge_pages::CLAIM,
    &d06_oom_killer::CLAIM,
    &d07_names::CLAIM,
    &d08_lazy_malloc::CLAIM,
    &d09_isolation_of_processes::CLAIM,
    &d10_stack_and_heap::CLAIM,
    &d11_page_cache::CLAIM,
    &d12_writeback::CLAIM,
    &d13_compaction::CLAIM,
    &d14_mmap_lock::CLAIM,
    &d15_context_switch::CLAIM,
    &d16_boot_memory::CLAIM,
    &e01_coherent::CLAIM,
    &e02_streaming::CLAIM,
    &e03_three_addresses::CLAIM,
    &e04_iommu_stops::CLAIM,
    &e05_vmalloc::CLAIM,
    &e06_readl_writel::CLAIM,
    &e07_am335x_addresses::CLAIM,
    &e08_ioremap_kinds::CLAIM,
    &e09_iomem_vmallocinfo::CLAIM,
    &e10_vfio::CLAIM,
    &e11_ports::CLAIM,
    &f01_buddy::CLAIM,
    &f02_watermark::CLAIM,
    &f03_slub::CLAIM,
    &f04_walk::CLAIM,
    &f05_cow::CLAIM,
    &f06_lru::CLAIM,
    &f07_dma::CLAIM,
];
